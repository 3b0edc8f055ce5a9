//! The server's state: what it serves with, and who is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::event::Observer;
use super::lanes;
use super::seeing::Seeing;
use super::setup::Setup;
use super::shown::Shown;
use super::ui::{self, Page};
use crate::error::Result;
use crate::policy::{Budgets, Scope};
use crate::providers::Http;

/// Clients for providers; with more lanes than that, some share one.
const CLIENTS: usize = 64;

/// The server's state.
pub struct Gateway {
    setup: ArcSwap<Setup>,
    observers: Vec<Arc<dyn Observer>>,
    page: Option<Arc<Page>>,
    seeing: Option<Arc<Seeing>>,
    /// One for each lane, made when it is first asked for: connections belong to the runtime that opened them.
    http: Box<[OnceLock<Http>]>,
    stopping: AtomicBool,
    /// Whether the time of what still runs is up: it is not left by its caller.
    cut: watch::Sender<bool>,
    shown: Shown,
}

impl Gateway {
    /// Serves with `setup`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(setup: Setup) -> crate::Result<Arc<Self>> {
        Self::with(setup, Vec::new(), None, None)
    }

    /// Serves with `setup`, tells `observers` of every request, and shows `page` and `seeing`, which are told as well.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with(
        setup: Setup,
        mut observers: Vec<Arc<dyn Observer>>,
        page: Option<Arc<Page>>,
        seeing: Option<Arc<Seeing>>,
    ) -> crate::Result<Arc<Self>> {
        let setup = ArcSwap::from_pointee(setup);
        observers.extend(page.iter().map(|page| Arc::clone(page) as Arc<dyn Observer>));
        observers.extend(seeing.iter().map(|seeing| Arc::clone(seeing) as Arc<dyn Observer>));
        let http: Box<[OnceLock<Http>]> = (0..CLIENTS).map(|_| OnceLock::new()).collect();
        // The others are like it: what cannot be had is said now.
        _ = http[0].set(Http::new()?);
        let gateway = Arc::new(Self {
            setup,
            observers,
            page,
            seeing,
            http,
            stopping: AtomicBool::new(false),
            cut: watch::Sender::new(false),
            shown: Shown::default(),
        });
        gateway.stand_behind_page();
        Ok(gateway)
    }

    /// The page shows what reloads replace, so it asks each time: who may see it, and how budgets stand.
    fn stand_behind_page(self: &Arc<Self>) {
        let Some(page) = &self.page else { return };
        let behind = Arc::downgrade(self);
        page.guard(Box::new(move |headers| match behind.upgrade() {
            Some(gateway) => gateway.setup().auth.caller(headers, Scope::Ui).map(drop),
            None => Ok(()),
        }));
        let behind = Arc::downgrade(self);
        page.show_standing(Box::new(move || {
            let Some(setup) = behind.upgrade().map(|gateway| gateway.setup()) else { return ui::Standing::default() };
            let budgets = setup.budgets.as_ref().map(Budgets::state).unwrap_or_default();
            ui::Standing {
                budgets: budgets.iter().map(ui::Budget::of).collect(),
                caps: setup.policies.caps(),
                limits: setup.policies.limits(),
            }
        }));
    }

    /// Replaces everything at once; requests under way go on with what they began with.
    pub fn swap(&self, mut setup: Setup) {
        setup.inherit(&self.setup());
        self.setup.store(Arc::new(setup));
    }

    /// From now on it is not ready: no new requests should be sent to it.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Streams that still run end now, and say so to their callers.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Tells when streams are to end.
    pub(super) fn when_cut(&self) -> watch::Receiver<bool> {
        self.cut.subscribe()
    }

    /// The last requests that were answered.
    pub(super) fn shown(&self) -> &Shown {
        &self.shown
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn is_cut(&self) -> bool {
        *self.cut.borrow()
    }

    pub(super) fn setup(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    pub(super) fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.observers
    }

    /// The page, where there is one.
    pub(super) fn page(&self) -> Option<&Arc<Page>> {
        self.page.as_ref()
    }

    /// Metrics, traces and logs, where there are any.
    pub(super) fn seeing(&self) -> Option<&Arc<Seeing>> {
        self.seeing.as_ref()
    }

    /// The connections to providers that are this thread's own.
    pub(super) fn http(&self) -> Result<&Http> {
        let own = &self.http[lanes::here() % CLIENTS];
        if let Some(http) = own.get() {
            return Ok(http);
        }
        let made = Http::new()?;
        Ok(own.get_or_init(|| made))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("stopping", &self.is_stopping()).finish_non_exhaustive()
    }
}
