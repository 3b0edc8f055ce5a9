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
/// That somebody has lacked money is true for so long, in microseconds.
pub(super) const WANTED: i64 = 2_000_000;

/// What a budget is to be asked.
pub(super) struct Ask<'a> {
    pub slot: &'a Slot,
    /// How it stands.
    pub money: Money,
    /// Calls wait for more than is there.
    pub waits: bool,
    /// Whether a slice beyond what calls need is wanted.
    pub more: bool,
}

/// What a call waits for.
pub(super) struct Need {
    pub amount: i64,
    /// Of which budgets: places among the questions. It needs the amount of each of them, or is not served.
    pub of: Vec<usize>,
}

/// What the database says.
#[derive(Debug)]
pub(super) struct Told {
    /// To be added to what was granted.
    pub added: i64,
    pub lease: Lease,
}

/// A budget when all is told and nothing is lent yet.
struct Stand {
    /// Whether there is a row of ours.
    has_row: bool,
    closed: i64,
    /// Of this lease.
    spent: i64,
    added: i64,
    /// What this replica may spend.
    amount: i64,
    all_spent: i64,
    others: i64,
    others_heard: i64,
    /// When somebody last lacked money.
    lacked: i64,
    /// Lent to nobody; negative where a limit was lowered or a call cost more than it could.
    left: i64,
}

/// What of a budget the waiting calls get.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Share {
    lent: i64,
    /// A call could be served with what others hold.
    wanted: bool,
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

/// Reports, renews, gives back and takes; to be called inside a transaction. What waits is in the order in which it came.
pub(super) fn tell(
    database: &mut Database,
    replica: &str,
    asks: &[Ask<'_>],
    needs: &[Need],
    now: i64,
) -> Result<Vec<Told>> {
    let mut stands = Vec::with_capacity(asks.len());
    for ask in asks {
        stands.push(stand(database, replica, ask, now)?);
    }
    let idle = |(ask, stand): (&Ask<'_>, &Stand)| ask.money.idle().saturating_add(stand.added);
    let there: Vec<(i64, i64, i64)> =
        asks.iter().zip(&stands).map(|both| (idle(both), both.1.left, both.1.others)).collect();
    let shares = shares(&there, needs);
    let all = asks.iter().zip(&stands).zip(&shares);
    all.map(|((ask, stand), share)| lend(database, replica, ask, stand, share, now)).collect()
}

/// Who of those that wait can be served with what is idle here and what nobody has, and whom only others could help; `there`:
/// idle, left and lent to others, of each budget. Nothing is lent for a call that it does not suffice for: it would lie
/// there, and be lost with this replica.
fn shares(there: &[(i64, i64, i64)], needs: &[Need]) -> Vec<Share> {
    let mut shares = vec![Share::default(); there.len()];
    let mut claimed = vec![0_i64; there.len()];
    for need in needs {
        // What its budget would have to lend, all that was promised before included.
        let lacks: Vec<(usize, i64)> = need
            .of
            .iter()
            .map(|at| (*at, claimed[*at].saturating_add(need.amount).saturating_sub(there[*at].0).max(0)))
            .collect();
        let is_left = |(at, lacks): &(usize, i64)| *lacks <= there[*at].1.max(0);
        let may_come = |(at, lacks): &(usize, i64)| *lacks <= there[*at].1.saturating_add(there[*at].2);
        if lacks.iter().all(is_left) {
            for (at, lacks) in lacks {
                claimed[at] = claimed[at].saturating_add(need.amount);
                shares[at].lent = lacks;
            }
        } else if lacks.iter().all(|lack| is_left(lack) || may_come(lack)) {
            for (at, _) in lacks.iter().filter(|lack| !is_left(lack)) {
                shares[*at].wanted = true;
            }
        }
    }
    shares
}

/// Reads a budget, and what dead replicas had of it.
fn stand(database: &mut Database, replica: &str, ask: &Ask<'_>, now: i64) -> Result<Stand> {
    let (money, known) = (&ask.money, &ask.money.lease);
    let key = key(ask);
    let mine = [key[0].clone(), key[1].clone(), replica.into()];
    let (spent_before, lacked) = locked(database, ask, &key)?;
    let expired = expired(database, &mine, now)?;
    let own = "SELECT amount, spent FROM leases WHERE budget = $1 AND starts = $2 AND replica = $3";
    let own = database.rows(own, &mine)?.first().map(|row| (row.number(0), row.number(1)));
    let others = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT), min(answered) FROM leases \
                  WHERE budget = $1 AND starts = $2 AND replica <> $3 AND amount > 0";
    let others = database.rows(others, &mine)?;
    let (others, others_heard) = others.first().map_or((0, 0), |row| (row.number(0), row.number(1)));

    let gone = known.is_there && own.is_none();
    let closed = if gone { money.granted } else { known.closed };
    let spent = money.spent.saturating_sub(closed).max(0);
    let (amount_before, reported) = own.unwrap_or((0, 0));
    let mut granted = money.granted.saturating_sub(closed);
    let mut added = 0_i64;
    // Granted by a transaction whose end we did not hear of.
    let unheard = amount_before.saturating_add(reported).saturating_sub(granted).saturating_sub(known.limbo);
    // Spent beyond what could be.
    let beyond = spent.saturating_sub(granted);
    for surplus in [unheard, beyond] {
        added = added.saturating_add(surplus.max(0));
        granted = granted.saturating_add(surplus.max(0));
    }
    let amount = granted.saturating_sub(spent);
    let all_spent = spent_before.saturating_add(expired).saturating_add(spent.saturating_sub(reported).max(0));
    let left = money.limit.saturating_sub(all_spent).saturating_sub(others).saturating_sub(amount);
    Ok(Stand { has_row: own.is_some(), closed, spent, added, amount, all_spent, others, others_heard, lacked, left })
}

/// Lends what is to be lent, and writes how the budget stands.
fn lend(database: &mut Database, replica: &str, ask: &Ask<'_>, stand: &Stand, share: &Share, now: i64) -> Result<Told> {
    let money = &ask.money;
    let key = key(ask);
    let rest = stand.left.saturating_sub(share.lent);
    // Where somebody waits for what others have, here or elsewhere, nothing shall lie here in vain.
    let plenty = !share.wanted && stand.lacked <= now.saturating_sub(WANTED);
    let slice =
        if plenty && (ask.more || share.lent > 0) { (money.limit / SLICES).min(rest / OF_THE_REST).max(0) } else { 0 };
    let taken = share.lent.saturating_add(slice).min(stand.left).max(0);
    let amount = stand.amount.saturating_add(taken);
    let added = stand.added.saturating_add(taken);
    let mut closed = stand.closed;
    let is_there = amount > 0 || ask.waits;
    if is_there {
        let put = "INSERT INTO leases (budget, starts, replica, amount, spent, answered, expires) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (budget, starts, replica) DO UPDATE SET \
                   amount = excluded.amount, spent = excluded.spent, answered = excluded.answered, expires = excluded.expires";
        let [budget, starts] = key.clone();
        let (answered, ends) = (money.lease.answered.into(), now.saturating_add(LASTS.as_micros() as i64).into());
        let values = [budget, starts, replica.into(), amount.into(), stand.spent.into(), answered, ends];
        database.run(put, &values)?;
    } else {
        closed = money.granted.saturating_add(added);
        if stand.has_row {
            let mine = [key[0].clone(), key[1].clone(), replica.into()];
            database.run("DELETE FROM leases WHERE budget = $1 AND starts = $2 AND replica = $3", &mine)?;
        }
    }
    let wanted = if share.wanted { now } else { 0 };
    let put = "UPDATE budgets SET spent = $3, most = $4, \
               wanted = CASE WHEN wanted > $5 THEN wanted ELSE $5 END WHERE id = $1 AND starts = $2";
    let values = [key[0].clone(), key[1].clone(), stand.all_spent.into(), money.limit.into(), wanted.into()];
    database.run(put, &values)?;
    let lease = Lease {
        is_there,
        closed,
        limbo: 0,
        reported: money.spent,
        spent: stand.all_spent,
        others: stand.others,
        others_heard: stand.others_heard,
        answered: money.lease.answered,
        left: stand.left.saturating_sub(taken),
        at: now,
        asked: None,
    };
    Ok(Told { added, lease })
}

/// The budget's name and the beginning of its period.
fn key(ask: &Ask<'_>) -> [Value; 2] {
    [Value::from(&*ask.slot.id), ask.slot.span.0.saturating_mul(1_000_000).into()]
}

/// Makes the budget's row where there is none, and keeps others from it until the end of the transaction; what was spent.
fn locked(database: &mut Database, ask: &Ask<'_>, key: &[Value; 2]) -> Result<(i64, i64)> {
    let look = if database.is_postgres() {
        "SELECT spent, wanted FROM budgets WHERE id = $1 AND starts = $2 FOR UPDATE"
    } else {
        "SELECT spent, wanted FROM budgets WHERE id = $1 AND starts = $2"
    };
    if let Some(row) = database.rows(look, key)?.first() {
        return Ok((row.number(0), row.number(1)));
    }
    let make = "INSERT INTO budgets (id, starts, ends, most, spent, wanted) VALUES ($1, $2, $3, $4, 0, 0) \
                ON CONFLICT (id, starts) DO NOTHING";
    let ends = ask.slot.span.1.saturating_mul(1_000_000);
    database.run(make, &[key[0].clone(), key[1].clone(), ends.into(), ask.money.limit.into()])?;
    Ok(database.rows(look, key)?.first().map_or((0, 0), |row| (row.number(0), row.number(1))))
}

/// What dead replicas had; it is taken from their leases and has to be entered as spent.
fn expired(database: &mut Database, mine: &[Value; 3], now: i64) -> Result<i64> {
    let take =
        "DELETE FROM leases WHERE budget = $1 AND starts = $2 AND replica <> $3 AND expires < $4 RETURNING amount";
    let values = [mine[0].clone(), mine[1].clone(), mine[2].clone(), now.into()];
    Ok(database.rows(take, &values)?.iter().fold(0, |sum: i64, row| sum.saturating_add(row.number(0))))
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

    fn need(amount: i64, of: &[usize]) -> Need {
        Need { amount, of: of.to_vec() }
    }

    fn share(lent: i64, wanted: bool) -> Share {
        Share { lent, wanted }
    }

    #[test]
    fn nothing_is_lent_for_a_call_that_it_does_not_suffice_for() {
        // The second one needs more than there is and is passed by; the others get exactly what they lack.
        let needs = [need(30, &[0]), need(90, &[0]), need(40, &[0])];
        assert_eq!(shares(&[(10, 70, 0)], &needs), [share(60, false)]);
        assert_eq!(shares(&[(10, 70, 0)], &needs[1..2]), [share(0, false)]);
        // What is idle here may be spent, also where a limit was lowered below what is lent.
        assert_eq!(shares(&[(10, -500, 0)], &[need(10, &[0]), need(1, &[0])]), [share(0, false)]);
    }

    #[test]
    fn others_are_asked_only_for_what_they_can_give() {
        assert_eq!(shares(&[(0, 70, 20)], &[need(90, &[0])]), [share(0, true)]);
        assert_eq!(shares(&[(0, 70, 20)], &[need(91, &[0])]), [share(0, false)]);
        assert_eq!(shares(&[(0, 70, 20)], &[need(i64::MAX, &[0]), need(i64::MAX, &[0])]), [share(0, false)]);
    }

    #[test]
    fn what_one_budget_cannot_pay_is_not_lent_by_another() {
        let there = [(0, 1000, 0), (0, 5, 0), (0, 5, 95)];
        assert_eq!(shares(&there[..2], &[need(100, &[0, 1])]), vec![share(0, false); 2]);
        let shares = shares(&there, &[need(100, &[0, 2]), need(3, &[0, 1])]);
        assert_eq!(shares, [share(3, false), share(3, false), share(0, true)]);
    }
}
