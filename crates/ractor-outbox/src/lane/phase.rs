/// State of a lane: whether it takes items, and whether a parcel is in flight. Pure.
///
/// | from | `posted` | `landed` | `closed` |
/// |---|---|---|---|
/// | `Idle` | `InFlight` | | `Closed` |
/// | `InFlight` | `InFlight`, a later parcel | `Idle` | `Closing` |
/// | `Closing` | `Closing`, a later parcel | `Closed` | |
/// | `Closed` | `Closing` | | |
///
/// An empty field leaves the phase unchanged. No transition leads from a closed phase back to an open one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes items; no parcel is in flight.
    Idle,
    /// Takes items, which join those that the parcel in flight will deliver.
    InFlight(Flight),
    /// Refuses items; those inside are in flight.
    Closing(Flight),
    /// Refuses items; no parcel is in flight.
    Closed,
}

/// The parcel in flight. A parcel with another ticket is void: opening or dropping it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) ticket: u64,
    /// Incarnation of the actor that it was sent to.
    pub(super) incarnation: u64,
}

impl Phase {
    /// Records that a parcel was sent. It replaces an earlier one.
    #[must_use]
    pub(super) const fn posted(self, flight: Flight) -> Self {
        match self {
            // The new ticket voids the parcel that was in flight.
            Self::Idle | Self::InFlight(_) => Self::InFlight(flight),
            // A closed lane still sends what an actor has left of a batch, but takes no new items.
            Self::Closing(_) | Self::Closed => Self::Closing(flight),
        }
    }

    /// Records that the parcel in flight was opened, dropped or made void.
    #[must_use]
    pub(super) const fn landed(self) -> Self {
        match self {
            // Nothing is on its way now, so the next item or the next incarnation needs a new parcel.
            Self::Idle | Self::InFlight(_) => Self::Idle,
            Self::Closing(_) | Self::Closed => Self::Closed,
        }
    }

    /// Records that the lane was closed.
    #[must_use]
    pub(super) const fn closed(self) -> Self {
        match self {
            Self::Idle | Self::Closed => Self::Closed,
            // The parcel stays valid: items that were accepted before are delivered.
            Self::InFlight(flight) | Self::Closing(flight) => Self::Closing(flight),
        }
    }

    pub(super) const fn is_closed(self) -> bool {
        matches!(self, Self::Closing(_) | Self::Closed)
    }

    /// Returns the parcel in flight.
    pub(super) const fn flight(self) -> Option<Flight> {
        match self {
            Self::InFlight(flight) | Self::Closing(flight) => Some(flight),
            Self::Idle | Self::Closed => None,
        }
    }

    /// Returns true if the parcel with this ticket is the one in flight.
    pub(super) const fn is_in_flight(self, ticket: u64) -> bool {
        matches!(self.flight(), Some(flight) if flight.ticket == ticket)
    }
}
