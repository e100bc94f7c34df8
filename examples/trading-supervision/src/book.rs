//! The order book: quoted prices, and the decision whether a new one is worth an order.

use std::collections::BTreeSet;

use crate::stage::{Quote, Stage};

/// Order book. Bids are below asks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    bids: BTreeSet<i64>,
    asks: BTreeSet<i64>,
    pub(crate) quotes: u64,
    pub(crate) orders: u64,
}

impl Stage for Book {
    /// Returns an order that takes the quote, if that is better than the middle of the book was.
    fn work_on(&mut self, Quote { price, lots }: Quote) -> Option<Quote> {
        let twice_the_middle = self.bids.last().zip(self.asks.first()).map(|(bid, ask)| bid + ask);
        self.quotes += 1;
        // Quotes of the other side at this price or a better one are traded away.
        if lots > 0 {
            self.bids.insert(price);
            self.asks = self.asks.split_off(&(price + 1));
        } else {
            self.asks.insert(price);
            self.bids.split_off(&price);
        }
        let worth_it = (2 * price - twice_the_middle?).signum() == lots.signum();
        self.orders += u64::from(worth_it);
        worth_it.then_some(Quote { price, lots: -lots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_better_than_the_middle_is_taken_and_bids_stay_below_asks() {
        let mut book = Book::default();
        let steps = [
            ((90, 1), None, (Some(90), None)),
            ((110, -1), None, (Some(90), Some(110))),
            ((100, -2), None, (Some(90), Some(100))),
            ((94, -3), Some((94, 3)), (Some(90), Some(94))),
            ((99, 4), Some((99, -4)), (Some(99), Some(100))),
            ((90, -5), Some((90, 5)), (None, Some(90))),
        ];
        for ((price, lots), order, best) in steps {
            let sent = book.work_on(Quote { price, lots }).map(|order| (order.price, order.lots));
            let best_now = (book.bids.last().copied(), book.asks.first().copied());
            assert_eq!((sent, best_now), (order, best), "after {lots} at {price}");
        }
    }
}
