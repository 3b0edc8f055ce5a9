//! What a replica and the database tell each other of one budget, in one transaction.
//!
//! All that a replica writes is absolute (what it may still spend, what it has spent), so a transaction of which nobody
//! knows whether it was done can be repeated. A lease whose row is gone has expired: the database has all of it as spent, so
//! what is left of it may still be spent here, and is never reported.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::database::{Cells, Database, Value};
use super::slot::{Lease, Money, Slot};
use crate::error::Result;

/// A lease that is not renewed for so long is a dead replica's.
pub(super) const LASTS: Duration = Duration::from_secs(30);
/// A slice is this part of a budget at most, or what calls are waiting for.
pub(super) const SLICES: i64 = 100;
/// Where little is left, no slice is more than this part of it: nobody shall hold what others need.
const OF_THE_REST: i64 = 16;

/// What a budget is to be asked.
pub(super) struct Ask<'a> {
    pub slot: &'a Slot,
    /// How it stands.
    pub money: Money,
    /// What calls are waiting for, beyond what is there.
    pub want: i64,
    /// What each of them needs, in their order.
    pub needs: Vec<i64>,
    /// Whether a slice beyond that is wanted.
    pub more: bool,
}

/// What the database says.
#[derive(Debug)]
pub(super) struct Told {
    /// To be added to what was granted.
    pub added: i64,
    pub lease: Lease,
}

/// Microseconds since 1970, by the clock that all replicas share.
pub(super) fn now(database: &mut Database) -> Result<i64> {
    if database.is_postgres() {
        let clock = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        return Ok(database.rows(clock, &[])?.first().map_or(0, |row| row.number(0)));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Reports, renews, gives back and takes; to be called inside a transaction.
pub(super) fn tell(database: &mut Database, replica: &str, ask: &Ask<'_>, now: i64) -> Result<Told> {
    let (money, known) = (&ask.money, &ask.money.lease);
    let starts = ask.slot.span.0.saturating_mul(1_000_000);
    let key = [Value::from(&*ask.slot.id), starts.into()];
    let mine = [key[0].clone(), key[1].clone(), replica.into()];
    let spent_before = locked(database, ask, &key)?;
    let expired = expired(database, &mine, now)?;
    let own = "SELECT amount, spent FROM leases WHERE budget = $1 AND starts = $2 AND replica = $3";
    let own = database.rows(own, &mine)?.first().map(|row| (row.number(0), row.number(1)));
    let others = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT), min(answered) FROM leases \
                  WHERE budget = $1 AND starts = $2 AND replica <> $3 AND amount > 0";
    let others = database.rows(others, &mine)?;
    let (others, others_heard) = others.first().map_or((0, 0), |row| (row.number(0), row.number(1)));

    let gone = known.is_there && own.is_none();
    let mut closed = if gone { money.granted } else { known.closed };
    let spent = (money.spent - closed).max(0);
    let (amount_before, reported) = own.unwrap_or((0, 0));
    let mut granted = money.granted - closed;
    let mut added = 0;
    // Granted by a transaction whose end we did not hear of, or spent beyond what could be.
    for surplus in [amount_before + reported - granted - known.limbo, spent - granted] {
        added += surplus.max(0);
        granted += surplus.max(0);
    }
    let mut amount = granted - spent;
    let all_spent = spent_before + expired + (spent - reported).max(0);
    let mut left = money.limit - all_spent - others - amount;
    let slice =
        if ask.more || ask.want > 0 { (money.limit / SLICES).min((left - ask.want) / OF_THE_REST).max(0) } else { 0 };
    let taken = if left >= ask.want {
        (ask.want + slice).min(left).max(0)
    } else {
        // What serves nobody would lie here, and elsewhere it may be what is missing.
        let idle = money.idle();
        (served(&ask.needs, idle.saturating_add(left.max(0))) - idle).max(0)
    };
    amount += taken;
    added += taken;
    left -= taken;

    let is_there = amount > 0 || ask.want > 0;
    if is_there {
        let put = "INSERT INTO leases (budget, starts, replica, amount, spent, answered, expires) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (budget, starts, replica) DO UPDATE SET \
                   amount = excluded.amount, spent = excluded.spent, answered = excluded.answered, expires = excluded.expires";
        let ends = now + LASTS.as_micros() as i64;
        let [budget, starts] = key.clone();
        let (answered, ends) = (known.answered.into(), ends.into());
        let values = [budget, starts, replica.into(), amount.into(), spent.into(), answered, ends];
        database.run(put, &values)?;
    } else {
        closed = money.granted + added;
        if own.is_some() {
            database.run("DELETE FROM leases WHERE budget = $1 AND starts = $2 AND replica = $3", &mine)?;
        }
    }
    let wanted = if taken < ask.want && others > 0 { now } else { 0 };
    let put = "UPDATE budgets SET spent = $3, most = $4, \
               wanted = CASE WHEN wanted > $5 THEN wanted ELSE $5 END WHERE id = $1 AND starts = $2";
    let values = [key[0].clone(), key[1].clone(), all_spent.into(), money.limit.into(), wanted.into()];
    database.run(put, &values)?;
    let lease = Lease {
        is_there,
        closed,
        limbo: 0,
        reported: money.spent,
        spent: all_spent,
        others,
        others_heard,
        answered: known.answered,
        left,
        at: now,
        asked: None,
    };
    Ok(Told { added, lease })
}

/// Of what is there: so much goes to those who are served of it in their order, each in full or not at all.
fn served(needs: &[i64], there: i64) -> i64 {
    let take = |sum: i64, need: &i64| sum.checked_add(*need).filter(|sum| *sum <= there).unwrap_or(sum);
    needs.iter().fold(0, take)
}

/// Makes the budget's row where there is none, and keeps others from it until the end of the transaction; what was spent.
fn locked(database: &mut Database, ask: &Ask<'_>, key: &[Value; 2]) -> Result<i64> {
    let look = if database.is_postgres() {
        "SELECT spent FROM budgets WHERE id = $1 AND starts = $2 FOR UPDATE"
    } else {
        "SELECT spent FROM budgets WHERE id = $1 AND starts = $2"
    };
    if let Some(row) = database.rows(look, key)?.first() {
        return Ok(row.number(0));
    }
    let make = "INSERT INTO budgets (id, starts, ends, most, spent, wanted) VALUES ($1, $2, $3, $4, 0, 0) \
                ON CONFLICT (id, starts) DO NOTHING";
    let ends = ask.slot.span.1.saturating_mul(1_000_000);
    database.run(make, &[key[0].clone(), key[1].clone(), ends.into(), ask.money.limit.into()])?;
    Ok(database.rows(look, key)?.first().map_or(0, |row| row.number(0)))
}

/// What dead replicas had; it is taken from their leases and has to be entered as spent.
fn expired(database: &mut Database, mine: &[Value; 3], now: i64) -> Result<i64> {
    let take =
        "DELETE FROM leases WHERE budget = $1 AND starts = $2 AND replica <> $3 AND expires < $4 RETURNING amount";
    let values = [mine[0].clone(), mine[1].clone(), mine[2].clone(), now.into()];
    Ok(database.rows(take, &values)?.iter().map(|row| row.number(0)).sum())
}

/// How a budget stands, beside what this replica knows.
pub(super) struct Standing {
    /// Which budget, and the first second of its period.
    pub of: (String, i64),
    /// What all replicas have told.
    pub spent: i64,
    /// What is lent to others.
    pub others: i64,
}

/// How all budgets of present periods stand, in one question: for those who look on.
pub(super) fn standing(database: &mut Database, replica: &str, now: i64) -> Result<Vec<Standing>> {
    let look = "SELECT b.id, b.starts, b.spent, \
                CAST(coalesce(sum(CASE WHEN l.replica <> $1 THEN l.amount ELSE 0 END), 0) AS BIGINT) \
                FROM budgets b LEFT JOIN leases l ON l.budget = b.id AND l.starts = b.starts \
                WHERE b.ends > $2 GROUP BY b.id, b.starts, b.spent";
    let rows = database.rows(look, &[replica.into(), now.into()])?;
    let standing = |row: &Cells| {
        let of = (row.text(0).to_owned(), row.number(1) / 1_000_000);
        Standing { of, spent: row.number(2), others: row.number(3) }
    };
    Ok(rows.iter().map(standing).collect())
}

/// The budgets of which somebody has lacked money since a time: id, first second of the period, and when that was.
pub(super) fn wanted(database: &mut Database, since: i64) -> Result<Vec<(String, i64, i64)>> {
    let rows = database.rows("SELECT id, starts, wanted FROM budgets WHERE wanted > $1", &[since.into()])?;
    Ok(rows.iter().map(|row| (row.text(0).to_owned(), row.number(1) / 1_000_000, row.number(2))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fits_is_served() {
        assert_eq!(served(&[5, 3, 4], 12), 12);
        assert_eq!(served(&[5, 3, 4], 11), 8);
        assert_eq!(served(&[9, 3, 4], 8), 7);
        assert_eq!((served(&[], 8), served(&[1], 0), served(&[1], -5), served(&[i64::MAX, 2], 2)), (0, 0, 0, 2));
    }
}
