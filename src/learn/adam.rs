//! Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) with weight decay added to the gradient.

use super::product::with_features;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// A block of parameters with its running moments.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) weights: &'a mut [f32],
    pub(super) first: &'a mut [f32],
    pub(super) second: &'a mut [f32],
}

/// What is the same for all parameters in one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Learning rate divided by the first moment's correction.
    rate: f32,
    /// One over the root of the second moment's correction.
    correction: f32,
    decay: f32,
}

impl Step {
    /// Step `number`, counted from 1.
    pub(super) fn new(lr: f64, weight_decay: f64, number: u64) -> Self {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let rate = lr / (1.0 - f64::from(BETA1).powi(number));
        let correction = 1.0 / (1.0 - f64::from(BETA2).powi(number)).sqrt();
        Self { rate: rate as f32, correction: correction as f32, decay: weight_decay as f32 }
    }

    /// Moves `block` against `gradient`.
    pub(super) fn apply(self, block: &mut Block, gradient: &[f32]) {
        move_weights(self, block.weights, block.first, block.second, gradient);
    }
}

fn move_weights(step: Step, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
    with_features!(update(
        step: Step, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]
    ));
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the loop is compiled once for each set of processor features")]
fn update(step: Step, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
    for (((weight, first), second), &gradient) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
        let gradient = step.decay.mul_add(*weight, gradient);
        *first = BETA1.mul_add(*first, (1.0 - BETA1) * gradient);
        *second = BETA2.mul_add(*second, (1.0 - BETA2) * gradient * gradient);
        let scale = second.sqrt().mul_add(step.correction, EPSILON);
        *weight -= step.rate * *first / scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_article() {
        let (lr, decay) = (0.01, 0.1);
        let gradients = [[0.5, -2.0, 0.0], [1.0, 0.1, 0.0], [-3.0, 0.2, 1e-4]];
        let mut exact = [0.3_f64, -0.7, 2.0];
        let (mut m, mut v) = ([0.0_f64; 3], [0.0_f64; 3]);
        let (mut weights, mut first, mut second) = ([0.3_f32, -0.7, 2.0], [0.0; 3], [0.0; 3]);
        for (t, gradient) in gradients.iter().enumerate() {
            let number = t as i32 + 1;
            for i in 0..3 {
                let g = f64::from(gradient[i]) + decay * exact[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (m, v) = (m[i] / (1.0 - 0.9_f64.powi(number)), v[i] / (1.0 - 0.999_f64.powi(number)));
                exact[i] -= lr * m / (v.sqrt() + 1e-8);
            }
            let mut block = Block { weights: &mut weights, first: &mut first, second: &mut second };
            Step::new(lr, decay, number as u64).apply(&mut block, gradient);
            for (found, exact) in weights.iter().zip(exact) {
                assert!((f64::from(*found) - exact).abs() < 1e-6, "step {number}: {found} for {exact}");
            }
        }
    }

    #[test]
    fn weights_of_zero_without_a_gradient_stay() {
        let (mut weights, mut first, mut second) = ([0.0_f32; 40], [0.0; 40], [0.0; 40]);
        let mut block = Block { weights: &mut weights, first: &mut first, second: &mut second };
        Step::new(0.1, 0.1, 1).apply(&mut block, &[0.0; 40]);
        assert_eq!(weights, [0.0; 40]);
    }
}
