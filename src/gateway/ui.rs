//! The page `/ui`: a few files built in, and the data they show as JSON. It only reads.
//!
//! Nothing here is computed on the threads that serve calls: a picture of the ledger is asked for by a thread that may
//! wait, at most one at a time for each range, and kept for a while ([`shelf`]). The files hold no data and are given to
//! everybody; the data is behind the [`Door`].

mod files;
mod overview;
mod quality;
mod recent;
mod seen;
mod shelf;
mod state;
mod thresholds;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, Uri, header};
use axum::routing::get;
use bytes::Bytes;

use super::protocol::openai::OpenAi;
use super::refusing::refuse;
use crate::error::{Error, Kind, Result};
use crate::ledger::Ledger;
use seen::Ring;
use shelf::Shelf;

pub use state::{Budget, Experiments, Standing};

/// Says who may see the data; an error is the answer to who may not.
pub type Door = dyn Fn(&HeaderMap) -> Result<()> + Send + Sync;

/// Budgets and limits as they are now. Asked every few seconds at most, by a thread that may wait.
pub type Standings = dyn Fn() -> Standing + Send + Sync;

/// A rung, as the page names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its name, with more than two models.
    pub tier: Option<String>,
    /// Its model, as the ledger knows it.
    pub model: String,
}

/// What the page is about; a reload replaces it.
#[derive(Default)]
pub struct About {
    /// The book whose calls are shown.
    pub ledger: Option<Arc<Ledger>>,
    /// Weakest first.
    pub rungs: Vec<Rung>,
    /// Names of the routers.
    pub routers: Vec<String>,
    /// Models that may be asked for by name.
    pub models: Vec<String>,
    /// The configuration's file.
    pub config: Option<String>,
    /// Whether callers need a key.
    pub keys: bool,
    /// What is being tried out.
    pub experiments: Option<Arc<Experiments>>,
}

impl About {
    /// The book keeps texts, so that they can be shown to who asks for them.
    fn texts(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.keeps_texts())
    }
}

/// The page's data, and what it has seen. It outlives reloads.
pub struct Page {
    about: ArcSwap<About>,
    times: Mutex<Times>,
    started: SystemTime,
    seen: Ring,
    door: OnceLock<Box<Door>>,
    standing: OnceLock<Box<Standings>>,
    overviews: [Shelf; overview::RANGES.len()],
    recent: [Shelf; 2],
    state: Shelf,
}

/// What has become of the configuration.
#[derive(Debug, Clone)]
struct Times {
    loaded: SystemTime,
    reloads: u64,
    refused: Option<(SystemTime, String)>,
}

impl Page {
    /// A page that everybody may see.
    pub fn new(about: About) -> Arc<Self> {
        let now = SystemTime::now();
        Arc::new(Self {
            about: ArcSwap::from_pointee(about),
            times: Mutex::new(Times { loaded: now, reloads: 0, refused: None }),
            started: now,
            seen: Ring::default(),
            door: OnceLock::new(),
            standing: OnceLock::new(),
            overviews: Default::default(),
            recent: Default::default(),
            state: Shelf::default(),
        })
    }

    /// Lets in whom `door` lets in, from now on. The first door stays.
    pub fn guard(&self, door: Box<Door>) {
        let _first_stays = self.door.set(door);
    }

    /// Shows these budgets and limits. The first ones stay.
    pub fn show_standing(&self, standing: Box<Standings>) {
        let _first_stays = self.standing.set(standing);
    }

    /// The configuration was loaded again.
    pub fn renew(&self, about: About) {
        self.about.store(Arc::new(about));
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        *times = Times { loaded: SystemTime::now(), reloads: times.reloads + 1, refused: None };
        drop(times);
        for shelf in self.overviews.iter().chain(&self.recent).chain([&self.state]) {
            shelf.empty();
        }
    }

    /// A changed configuration was not taken; the one before goes on.
    pub fn refused(&self, why: &str) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).refused = Some((SystemTime::now(), why.to_owned()));
        self.state.empty();
    }

    async fn data(self: Arc<Self>, what: &str, query: &str) -> Result<Bytes> {
        let page = Arc::clone(&self);
        match what {
            "overview" => {
                let (place, range) = overview::range(asked(query, "range"))?;
                let work = move || overview::made(&page.about.load_full(), range, microseconds(SystemTime::now()));
                self.overviews[place].get(work).await
            }
            "recent" => {
                let texts = asked(query, "texts") == Some("1") && page.about.load().texts();
                let work = move || recent::made(&page.about.load_full(), &page.seen, texts);
                self.recent[usize::from(texts)].get(work).await
            }
            "state" => self.state.get(move || Ok(state::made(&page))).await,
            _ => Err(Error::new(Kind::Name, "expected overview, recent or state")),
        }
    }
}

impl super::event::Observer for Page {
    fn seen(&self, event: &super::event::Event<'_>) {
        self.seen.push(event);
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// The paths of the page, for a server with any state.
pub fn routes<S: Clone + Send + Sync + 'static>(page: Arc<Page>) -> Router<S> {
    let data = Router::new().route("/ui/data/{what}", get(data)).with_state(page);
    data.route("/ui", get(async |headers: HeaderMap| files::file("index.html", &headers)))
        .route("/ui/", get(async |headers: HeaderMap| files::file("index.html", &headers)))
        .route("/ui/{file}", get(async |Path(name): Path<String>, headers: HeaderMap| files::file(&name, &headers)))
}

async fn data(State(page): State<Arc<Page>>, Path(what): Path<String>, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let found = match page.door.get().map_or(Ok(()), |door| door(&headers)) {
        Ok(()) => page.data(&what, uri.query().unwrap_or_default()).await,
        Err(error) => Err(error),
    };
    let mut response = match found {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => refuse(&OpenAi, &error),
    };
    files::protect(response.headers_mut());
    // It is somebody's money: no cache on the way keeps it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The value of a name in a query; the page sends words without anything to decode.
fn asked<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Microseconds since 1970.
fn microseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_by_its_names() {
        assert_eq!(asked("range=7d&texts=1", "range"), Some("7d"));
        assert_eq!(asked("range=7d&texts=1", "texts"), Some("1"));
        assert_eq!(asked("ranges=7d", "range"), None);
        assert_eq!(asked("", "range"), None);
    }
}
