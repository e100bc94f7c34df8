//! State that all front ends share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::Access;
use crate::counters::{Counters, CountersError};
use crate::limits::Limits;
use crate::on_demand::OnDemand;
use crate::security::Security;
use crate::status::Sample;
use crate::telemetry::Telemetry;
use crate::tls::Tls;

/// Counters, state, limits, security and metrics of a server. Clones are the same.
#[derive(Clone, Debug)]
pub struct Service(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: watch::Sender<ServiceState>,
    counters: Mutex<Option<Counters>>,
    limits: Limits,
    security: Security,
    telemetry: Telemetry,
    samples: OnDemand<Arc<Sample>>,
    started: Instant,
}

/// Phase of a server's life. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceState {
    /// Counters are being read from the disk; requests are refused.
    Loading,
    /// Requests are answered.
    Ready,
    /// No connection is accepted any more; what has arrived is answered, and then connections are closed.
    Draining,
}

impl Service {
    pub(crate) fn new(limits: Limits, security: Security) -> Self {
        Self(Arc::new(Shared {
            state: watch::Sender::new(ServiceState::Loading),
            counters: Mutex::default(),
            limits,
            security,
            telemetry: Telemetry::new(),
            samples: OnDemand::default(),
            started: Instant::now(),
        }))
    }

    /// Hands the counters to the front ends.
    pub(crate) fn set_ready(&self, counters: Counters) {
        *self.slot() = Some(counters);
        self.advance(ServiceState::Ready);
    }

    /// Takes the counters back, so that they can be shut down.
    pub(crate) fn take_counters(&self) -> Option<Counters> {
        self.slot().take()
    }

    /// Tells the front ends to end.
    pub(crate) fn drain(&self) {
        self.advance(ServiceState::Draining);
    }

    fn advance(&self, next: ServiceState) {
        self.0.state.send_if_modified(|state| {
            let is_later = next > *state;
            *state = next.max(*state);
            is_later
        });
    }

    /// Returns the counters, with outboxes of their own: ask once for each connection.
    ///
    /// # Errors
    /// [`CountersError::Loading`], [`CountersError::Stopped`].
    pub fn counters(&self) -> Result<Counters, CountersError> {
        let missing = match self.state() {
            ServiceState::Draining => CountersError::Stopped,
            ServiceState::Loading | ServiceState::Ready => CountersError::Loading,
        };
        self.slot().clone().ok_or(missing)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Counters>> {
        self.0.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> ServiceState {
        *self.0.state.borrow()
    }

    /// Waits until the server is in this state or a later one.
    pub async fn reached(&self, state: ServiceState) {
        // The sender lives as long as this does.
        let _ = self.0.state.subscribe().wait_for(|current| *current >= state).await;
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the time since the server started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// Returns the samples of its state.
    pub(crate) fn samples(&self) -> &OnDemand<Arc<Sample>> {
        &self.0.samples
    }

    /// Returns who has access.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.0.security.access()
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.0.security.tls()
    }

    pub(crate) fn security(&self) -> &Security {
        &self.0.security
    }

    /// Returns the metrics.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }
}
