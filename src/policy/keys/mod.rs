//! The keys that are valid: found in memory, kept in the ledger's database.
//!
//! A request looks its key up in a map and touches no disk. One thread has the connection. It makes the changes of this process,
//! which hold from the moment they are answered, and asks twice a second whether another process has made some, so that a key that
//! was revoked elsewhere is refused within a second. Where the database cannot be had, the keys last read stay valid.

mod database;
mod record;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::database::{Change, Database};
use self::record::Record;
use super::gate::denied;
use super::key::{Key, now_us};
use super::secret::Digest;
use crate::error::{Denied, Error, Kind, Result};
use crate::ledger::place::Place;
use crate::process::PerProcess;

pub use self::record::{NewKey, Shown};

/// How often it is asked whether another process has changed the keys.
const LOOK: Duration = Duration::from_millis(500);
/// The keys that are open in this process, by the place they are kept in.
static OPEN: PerProcess<Mutex<HashMap<String, Weak<Keys>>>> = PerProcess::new();

/// The keys of one database. Its methods but for [`find`](Self::find) wait for the database, so they are not for a runtime's threads.
pub struct Keys {
    table: Arc<ArcSwap<Table>>,
    errands: Mutex<mpsc::Sender<Errand>>,
    shown: String,
    in_memory: bool,
}

/// The keys by the digest of their secret.
#[derive(Default)]
struct Table {
    places: HashMap<u64, Vec<Entry>>,
}

struct Entry {
    digest: Digest,
    key: Arc<Key>,
    revoked: bool,
}

enum Errand {
    Change(Change, mpsc::Sender<Result<bool>>),
    List(mpsc::Sender<Result<Vec<Shown>>>),
}

impl Keys {
    /// The keys in the database of a ledger, by its URL; their table is made where it is missing, and with `create` an `SQLite`
    /// file, too. `memory:` has keys that end with this process.
    ///
    /// # Errors
    /// [`Kind::Value`] for what is no URL of a ledger, [`Kind::Missing`] for a file that is not there, [`Kind::Io`] where the
    /// database cannot be had.
    pub fn open(url: &str, create: bool) -> Result<Arc<Self>> {
        let place = Place::parse(url)?;
        let Some(identity) = place.identity() else { return Self::apart(place, create) };
        // One place has one keeper, so that a reload goes on with the limits of the keys as they stand.
        let open = match OPEN.get_or_try_init(|| Ok::<_, Infallible>(Mutex::default())) {
            Ok(open) => open,
            Err(never) => match never {},
        };
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, keys| keys.strong_count() > 0);
        if let Some(keys) = open.get(&identity).and_then(Weak::upgrade) {
            return Ok(keys);
        }
        let keys = Self::apart(place, create)?;
        open.insert(identity, Arc::downgrade(&keys));
        Ok(keys)
    }

    fn apart(place: Place, create: bool) -> Result<Arc<Self>> {
        let in_memory = matches!(place, Place::Memory);
        let table = Arc::new(ArcSwap::from_pointee(Table::default()));
        let (errands, received) = mpsc::channel();
        let (opened, heard) = mpsc::channel();
        let shared = Arc::clone(&table);
        // The connection brings a runtime of its own, which must not be inside another.
        std::thread::Builder::new()
            .name("ferroute-keys".into())
            .spawn(move || match Keeper::open(place, create, shared) {
                Ok(keeper) => {
                    if opened.send(Ok(keeper.database.shown())).is_ok() {
                        keeper.run(&received);
                    }
                }
                Err(error) => _ = opened.send(Err(error)),
            })
            .map_err(|error| Error::new(Kind::Io, format!("keys: no thread for them: {error}")))?;
        let shown = heard.recv().map_err(|_| gone())??;
        Ok(Arc::new(Self { table, errands: Mutex::new(errands), shown, in_memory }))
    }

    /// Whose secret this is.
    ///
    /// # Errors
    /// [`Kind::Denied`] with 401 `invalid_api_key` for one that is unknown, expired or revoked. The secret is not repeated.
    pub fn find(&self, secret: &str) -> Result<Arc<Key>> {
        let digest = Digest::of(secret);
        let table = self.table.load();
        let entries = table.places.get(&digest.place()).map(Vec::as_slice).unwrap_or_default();
        let Some(entry) = entries.iter().find(|entry| entry.digest.is(&digest)) else {
            return Err(unauthorized("Incorrect API key provided: this server does not know it."));
        };
        // Who shows the whole secret may hear what became of it.
        if entry.revoked {
            return Err(unauthorized("This API key has been revoked."));
        }
        if entry.key.is_expired() {
            return Err(unauthorized("This API key has expired."));
        }
        Ok(Arc::clone(&entry.key))
    }

    /// Makes a key. Gives its secret, which nobody can give a second time, and what is known of it.
    ///
    /// # Errors
    /// [`Kind::Value`] for what makes no sense; [`Kind::Io`] where the database cannot be had.
    pub fn create(&self, new: NewKey) -> Result<(String, Shown)> {
        let (secret, record) = new.made()?;
        let shown = record.shown.clone();
        self.ask(|answer| Errand::Change(Change::Add(Box::new(record)), answer))?;
        Ok((secret, shown))
    }

    /// All keys, oldest first, revoked ones too.
    ///
    /// # Errors
    /// [`Kind::Io`] where the database cannot be had.
    pub fn list(&self) -> Result<Vec<Shown>> {
        self.ask(Errand::List)
    }

    /// One key, by its id, or by its name where only one has it.
    ///
    /// # Errors
    /// As for [`list`](Self::list); [`Kind::Name`] where there is none, or more than one of that name.
    pub fn show(&self, name: &str) -> Result<Shown> {
        let all = self.list()?;
        if let Some(found) = all.iter().find(|key| key.id == name) {
            return Ok(found.clone());
        }
        let named: Vec<&Shown> = all.iter().filter(|key| key.name == name).collect();
        match named[..] {
            [only] => Ok(only.clone()),
            [] => Err(Error::new(Kind::Name, format!("there is no key {:?} in {}", short(name), self.shown))),
            _ => {
                let ids: Vec<&str> = named.iter().map(|key| key.id.as_str()).collect();
                let text = format!("several keys are called {:?}: say which, {}", short(name), ids.join(", "));
                let denied = Denied { status: 409, code: "ambiguous_key_name", retry_after: None };
                Err(Error::new(Kind::Name, text).with_raised(denied))
            }
        }
    }

    /// Ends a key, by id or name. Requests under way end as they began. One that is revoked already stays so.
    ///
    /// # Errors
    /// As for [`show`](Self::show).
    pub fn revoke(&self, name: &str) -> Result<Shown> {
        let found = self.show(name)?;
        self.ask(|answer| Errand::Change(Change::Revoke(found.id.clone(), now_us()), answer))?;
        self.show(&found.id)
    }

    /// Where they are kept, without a password.
    pub fn shown_url(&self) -> &str {
        &self.shown
    }

    /// Whether they end with this process.
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    fn ask<T>(&self, errand: impl FnOnce(mpsc::Sender<Result<T>>) -> Errand) -> Result<T> {
        let (answer, heard) = mpsc::channel();
        let errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        errands.send(errand(answer)).map_err(|_| gone())?;
        drop(errands);
        heard.recv().map_err(|_| gone())?
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// Who has the connection.
struct Keeper {
    database: Database,
    table: Arc<ArcSwap<Table>>,
    /// What the table in memory was made of.
    changes: i64,
}

impl Keeper {
    fn open(place: Place, create: bool, table: Arc<ArcSwap<Table>>) -> Result<Self> {
        let database = Database::open(place, create)?;
        let mut keeper = Self { database, table, changes: -1 };
        keeper.look()?;
        Ok(keeper)
    }

    fn run(mut self, errands: &mpsc::Receiver<Errand>) {
        loop {
            match errands.recv_timeout(LOOK) {
                Ok(Errand::Change(change, answer)) => {
                    let done = self.database.change(change);
                    // It is done; where it cannot be read again now, it will be in a moment.
                    let done = if done.is_ok() { self.look().and(done) } else { done };
                    _ = answer.send(done);
                }
                Ok(Errand::List(answer)) => {
                    let all = self.database.all();
                    _ = answer.send(all.map(|all| all.into_iter().map(|record| record.shown).collect()));
                }
                // What cannot be read now is asked for again; the keys last read stay valid.
                Err(RecvTimeoutError::Timeout) => _ = self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads the keys, where somebody has changed them.
    fn look(&mut self) -> Result<()> {
        let changes = self.database.changes()?;
        if changes != self.changes {
            let records = self.database.all()?;
            let before = self.table.load();
            self.table.store(Arc::new(Table::of(&records, &before)));
            self.changes = changes;
        }
        Ok(())
    }
}

impl Table {
    /// Of these keys; limits of those that were there before go on.
    fn of(records: &[Record], before: &Self) -> Self {
        let entries = before.places.values().flatten();
        let old: HashMap<&str, &Key> = entries.map(|entry| (entry.key.id.as_str(), entry.key.as_ref())).collect();
        let mut places: HashMap<u64, Vec<Entry>> = HashMap::with_capacity(records.len());
        for record in records {
            // One that another program has spoilt is nobody's key; all others are.
            if let Ok(key) = record.key(old.get(record.shown.id.as_str()).copied()) {
                let revoked = record.shown.revoked.is_some();
                places.entry(record.digest.place()).or_default().push(Entry { digest: record.digest, key, revoked });
            }
        }
        Self { places }
    }
}

fn unauthorized(text: &str) -> Error {
    denied(401, "invalid_api_key", None, text)
}

fn gone() -> Error {
    Error::new(Kind::Io, "keys: their thread has ended")
}

fn short(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Instant;

    use super::*;

    fn new(name: &str) -> NewKey {
        NewKey { name: Some(name.into()), requests: Some("2/day".into()), ..NewKey::default() }
    }

    fn code(keys: &Keys, secret: &str) -> Option<&'static str> {
        keys.find(secret).err().map(|error| error.why_denied().unwrap().code)
    }

    #[test]
    fn a_key_holds_from_its_making_to_its_revoking() {
        for memory in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let url = if memory { "memory:".into() } else { format!("sqlite:///{}/keys.db", folder.path().display()) };
            let keys = Keys::open(&url, true).unwrap();
            let (secret, shown) = keys.create(new("ci")).unwrap();
            let (other, _) = keys.create(new("other")).unwrap();
            assert_eq!(keys.find(&secret).unwrap().id, shown.id);
            assert_eq!(keys.list().unwrap().len(), 2);
            assert_eq!(keys.revoke("ci").unwrap().id, shown.id);
            assert_eq!(code(&keys, &secret), Some("invalid_api_key"));
            assert!(keys.show(&shown.id).unwrap().revoked.is_some());
            let first = keys.show("ci").unwrap().revoked;
            assert_eq!(keys.revoke(&shown.id).unwrap().revoked, first, "revoked once");
            assert!(keys.find(&other).is_ok());
            for wrong in ["", "frk_", &secret[..secret.len() - 1], &secret.to_uppercase(), "frk_\0"] {
                assert_eq!(code(&keys, wrong), Some("invalid_api_key"));
            }
            assert_eq!(keys.show("nobody").unwrap_err().kind(), Kind::Name);
            let all = format!("{keys:?} {:?}", keys.list().unwrap());
            assert!(!all.contains(&secret[4..]) && !all.contains(&other[4..]));
        }
    }

    #[test]
    fn another_process_is_heard_of_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/keys.db", folder.path().display());
        let open = |create| Keys::apart(Place::parse(&url).unwrap(), create).unwrap();
        let (server, tool) = (open(true), open(false));
        let (secret, shown) = tool.create(new("ci")).unwrap();
        let within = |wanted: &dyn Fn() -> bool| {
            let begun = Instant::now();
            while !wanted() {
                assert!(begun.elapsed() < Duration::from_secs(10), "never");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        within(&|| server.find(&secret).is_ok());
        let before = server.find(&secret).unwrap();
        tool.create(new("another")).unwrap();
        within(&|| !Arc::ptr_eq(&before, &server.find(&secret).unwrap()));
        let now = server.find(&secret).unwrap();
        let bucket = |key: &Key| key.gate.as_ref().and_then(|gate| gate.requests.clone()).unwrap();
        assert!(Arc::ptr_eq(&bucket(&before), &bucket(&now)), "its limits go on");
        tool.revoke(&shown.id).unwrap();
        within(&|| server.find(&secret).is_err());
    }

    #[test]
    fn the_file_has_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/keys.db", folder.path().display());
        let keys = Keys::open(&url, true).unwrap();
        let (secret, _) = keys.create(new("ci")).unwrap();
        drop(keys);
        let found = std::fs::read_dir(folder.path()).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(20).any(|window| window == &secret.as_bytes()[4..24])
        });
        assert!(!found);
    }

    #[test]
    fn an_expired_key_is_refused() {
        let keys = Keys::open("memory:", true).unwrap();
        let (secret, _) = keys.create(NewKey { expires: Some("1m".into()), ..NewKey::default() }).unwrap();
        assert!(keys.find(&secret).is_ok());
        let key = Key { expires: Some(now_us() - 1), ..Key::default() };
        assert!(key.is_expired());
    }

    #[test]
    fn one_place_is_opened_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/keys.db", folder.path().display());
        let (first, second) = (Keys::open(&url, true).unwrap(), Keys::open(&url, true).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&Keys::open("memory:", true).unwrap(), &Keys::open("memory:", true).unwrap()));
    }

    #[test]
    fn a_missing_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}/none.db", folder.path().display());
        assert_eq!(Keys::open(&url, false).unwrap_err().kind(), Kind::Missing);
        assert_eq!(Keys::open("mysql://x", true).unwrap_err().kind(), Kind::Value);
    }
}
