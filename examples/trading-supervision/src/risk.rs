//! The risk manager, with limits that an order must keep to, and the executor behind it.

use crate::stage::{Quote, Stage};

const MAX_POSITION_LOTS: i64 = 50;
const MAX_ORDER_CENTS: i64 = 80_000;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Risk {
    pub(crate) position: i64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

impl Stage for Risk {
    fn work_on(&mut self, order: Quote) -> Option<Quote> {
        // Panics at a quantity that overflows.
        let cents = order.lots.abs().checked_mul(order.price).expect("an amount fits into 64 bits");
        let position = self.position + order.lots;
        if cents > MAX_ORDER_CENTS || position.abs() > MAX_POSITION_LOTS {
            self.refused += 1;
            return None;
        }
        self.position = position;
        self.accepted += 1;
        Some(order)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Executor {
    pub(crate) executed: u64,
    pub(crate) position: i64,
}

impl Stage for Executor {
    fn work_on(&mut self, order: Quote) -> Option<Quote> {
        self.executed += 1;
        self.position += order.lots;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_beyond_a_limit_is_refused_and_changes_no_position() {
        let mut risk = Risk::default();
        let mut accepts = |price, lots| risk.work_on(Quote { price, lots }).is_some();
        assert!(!accepts(MAX_ORDER_CENTS + 1, -1));
        assert!(accepts(MAX_ORDER_CENTS, -1));
        assert!(!accepts(1, -MAX_POSITION_LOTS));
        assert!(accepts(1, MAX_POSITION_LOTS + 1));
        assert_eq!(risk, Risk { position: MAX_POSITION_LOTS, accepted: 2, refused: 2 });
    }
}
