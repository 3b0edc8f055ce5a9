//! Frequencies of rotary positions: plain, stretched, or stretched by wave length as Llama 3.1 does.

use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// How a configuration asks for its positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    theta: f32,
    scaling: Scaling,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scaling {
    None,
    /// All frequencies divided.
    Linear(f32),
    /// Long waves are divided, short ones are not, those between are mixed.
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original: f32,
    },
}

impl Rope {
    /// From `rope_theta` and `rope_scaling`, or from `rope_parameters`, which hold both.
    pub(super) fn read(theta: Option<f64>, scaling: Option<&Value>, positions: usize) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Checkpoint, what);
        let field = |name: &str| scaling.and_then(|map| map.get(name)).filter(|value| !value.is_null());
        let number = |name: &str| match field(name).map(|value| (value, value.as_f64())) {
            None => Ok(None),
            Some((_, Some(found))) if found.is_finite() && found > 0.0 => Ok(Some(found as f32)),
            Some((value, _)) => Err(wrong(format!("expected the position's {name} above 0, found {value}"))),
        };
        let needed =
            |name: &str| number(name)?.ok_or_else(|| wrong(format!("the position's {name} is missing in its scaling")));
        if let Some(found) = scaling.filter(|value| !value.is_object() && !value.is_null()) {
            return Err(wrong(format!("expected rope_scaling to be an object, found {found}")));
        }
        let theta = number("rope_theta")?.or(theta.map(|theta| theta as f32)).unwrap_or(10_000.0);
        if !(theta.is_finite() && theta > 0.0) {
            return Err(wrong(format!("expected rope_theta above 0, found {theta}")));
        }
        let kind = field("rope_type").or(field("type")).map_or(Some("default"), Value::as_str);
        let scaling = match kind {
            Some("default") => Scaling::None,
            Some("linear") => Scaling::Linear(needed("factor")?),
            Some("llama3") => {
                let original = number("original_max_position_embeddings")?.unwrap_or(positions as f32);
                let (low, high) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
                if low >= high {
                    return Err(wrong(format!("expected low_freq_factor below high_freq_factor, found {low}, {high}")));
                }
                Scaling::Llama3 { factor: needed("factor")?, low, high, original }
            }
            other => {
                let found = other.unwrap_or("something else");
                let message =
                    format!("expected positions scaled by \"default\", \"linear\" or \"llama3\", found {found:?}");
                return Err(Error::new(Kind::Unsupported, message));
            }
        };
        Ok(Self { theta, scaling })
    }

    /// Radians for one position, for heads of `head_dim` numbers: `head_dim / 2` frequencies, falling.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        (0..head_dim / 2)
            .map(|pair| {
                // Rounded where the original rounds: exponent, power and quotient are float32.
                let exponent = (2 * pair) as f32 / head_dim as f32;
                let power = f64::from(self.theta).powf(f64::from(exponent)) as f32;
                self.scale(1.0 / power)
            })
            .collect()
    }

    fn scale(&self, frequency: f32) -> f32 {
        match self.scaling {
            Scaling::None => frequency,
            Scaling::Linear(factor) => frequency / factor,
            Scaling::Llama3 { factor, low, high, original } => {
                let wave = std::f32::consts::TAU / frequency;
                if wave > original / low {
                    frequency / factor
                } else if wave < original / high {
                    frequency
                } else {
                    let mix = (original / wave - low) / (high - low);
                    (1.0 - mix) * frequency / factor + mix * frequency
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn waves_of_llama_3_1_are_stretched_by_their_length() {
        let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 8192});
        let plain = Rope::read(Some(5e5), None, 131_072).unwrap().frequencies(128);
        let scaled = Rope::read(Some(5e5), Some(&scaling), 131_072).unwrap().frequencies(128);
        assert_eq!(plain[..20], scaled[..20]);
        assert_eq!(plain[63] / 8.0, scaled[63]);
        let between = plain.iter().zip(&scaled).filter(|&(p, s)| s < p && *s > p / 8.0).count();
        assert!(between > 0, "some waves lie between");
        let linear = json!({"type": "linear", "factor": 2.0});
        let halved = Rope::read(Some(5e5), Some(&linear), 8192).unwrap().frequencies(128);
        assert!(halved.iter().zip(&plain).all(|(h, p)| h * 2.0 == *p));
        let new_style = json!({"rope_type": "default", "rope_theta": 5e5});
        assert_eq!(Rope::read(None, Some(&new_style), 8192).unwrap().frequencies(128), plain);
    }

    #[test]
    fn what_is_not_known_is_said() {
        for (scaling, kind) in [
            (json!({"type": "yarn", "factor": 2.0}), Kind::Unsupported),
            (json!({"type": 3}), Kind::Unsupported),
            (json!({"type": "linear"}), Kind::Checkpoint),
            (json!({"type": "linear", "factor": 0}), Kind::Checkpoint),
            (json!({"rope_theta": "NaN"}), Kind::Checkpoint),
            (json!([1]), Kind::Checkpoint),
        ] {
            assert_eq!(Rope::read(None, Some(&scaling), 8192).unwrap_err().kind(), kind, "{scaling}");
        }
    }
}
