//! The market data feed, and the venue's quotes. They are computed, so every run sees the same market.

use crate::stage::{Quote, Stage};

/// Number of the quote that arrives garbled, with a quantity that overflows.
pub(crate) const GARBLED: u64 = 5_003;

pub(crate) fn quote(number: u64) -> Quote {
    let mut random = fastrand::Rng::with_seed(number);
    let price = random.i64(9_970..=10_010);
    let lots = if number == GARBLED { i64::MAX } else { random.i64(1..=10) };
    if random.bool() { Quote { price, lots } } else { Quote { price: price + 20, lots: -lots } }
}

/// Market data feed, with the number of connections that the venue has yet to refuse.
pub(crate) struct Feed(pub(crate) u64);

impl Stage for Feed {
    fn start(&mut self) -> Result<(), &'static str> {
        let Some(refusals) = self.0.checked_sub(1) else { return Ok(()) };
        self.0 = refusals;
        Err("the venue refused the connection")
    }

    fn work_on(&mut self, quote: Quote) -> Option<Quote> {
        Some(quote)
    }
}
