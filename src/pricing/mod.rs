//! What calls cost. Money is decimal, and an unknown price is never zero.
//!
//! [`Table`] finds a model's prices by the name a caller uses ([`names`]), for a day, an hour and a service tier
//! ([`entry`]); [`rates`] turns tokens into money; [`scenario`] multiplies it by a number of requests.

mod catalogue;
mod entry;
mod facts;
mod file;
mod moment;
mod names;
mod own;
mod pattern;
pub mod rates;
pub mod scenario;
pub mod table;
mod usage;

use std::sync::atomic::{AtomicBool, Ordering};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

pub use facts::Facts;
pub use moment::Moment;
pub use own::Own;
pub use rates::{Amounts, Cost, CostPart, Rate, Rates, Unit};
pub use table::{Price, Table};
pub use usage::{ServiceTier, Usage};

use crate::error::Result;

/// Picodollars in a dollar have so many zeros.
const PICO: u32 = 12;

/// Whole picodollars (1e-12 US dollars), halves to even; `None` beyond 9.2 million dollars.
pub fn pico(dollars: Decimal) -> Option<i64> {
    let rounded = dollars.round_dp(PICO);
    rounded.checked_mul(Decimal::from_i128_with_scale(10_i128.pow(PICO), 0))?.to_i64()
}

/// US dollars.
pub fn from_pico(pico: i64) -> Decimal {
    Decimal::new(pico, PICO).normalize()
}

/// Whether the file that `FERROUTE_PRICES` names can be read: asked before the first call and the first price, since
/// going on with the built-in prices alone would be wrong. Once it could be read it is not looked at again.
///
/// # Errors
/// [`Kind::Missing`](crate::Kind::Missing), [`Kind::Io`](crate::Kind::Io) or [`Kind::Value`](crate::Kind::Value).
pub fn check() -> Result<()> {
    static FINE: AtomicBool = AtomicBool::new(false);
    if !FINE.load(Ordering::Relaxed) {
        Own::from_environment()?;
        FINE.store(true, Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn picodollars_keep_every_price_of_a_token(pico in any::<i64>()) {
            prop_assert_eq!(super::pico(from_pico(pico)), Some(pico));
        }

        #[test]
        fn what_does_not_fit_is_none(digits in any::<i64>(), scale in 0u32..20) {
            let dollars = Decimal::new(digits, scale);
            match super::pico(dollars) {
                Some(pico) => prop_assert!((from_pico(pico) - dollars).abs() <= Decimal::new(5, 13)),
                None => prop_assert!(dollars.abs() > Decimal::from(9_000_000)),
            }
        }
    }
}
