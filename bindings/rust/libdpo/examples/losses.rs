//! Every DPO loss of six preference pairs, whose log-probs come from any engine, beside the numbers of TRL's own code.
//!
//!     cargo run --example losses

use libdpo::{loss, Loss, LossOptions, Pairs};

fn main() -> libdpo::Result<()> {
    // Log-probs of whole completions under the model in training and under the frozen reference, and token counts.
    let pairs = Pairs {
        policy_chosen: &[-12.50, -40.10, -3.20, -101.30, -22.75, -21.00],
        policy_rejected: &[-14.25, -35.60, -9.90, -120.80, -22.75, -18.00],
        reference_chosen: Some(&[-13.00, -38.70, -7.40, -99.90, -22.75, -15.00]),
        reference_rejected: Some(&[-13.75, -36.90, -2.10, -121.40, -22.75, -23.50]),
        chosen_tokens: Some(&[5, 17, 2, 48, 9, 20]),
        rejected_tokens: Some(&[6, 12, 4, 51, 9, 7]),
        weights: None,
    };
    // Loss, label smoothing, and what TRL gives: the loss and the gradients of the first pair.
    let golden = [
        (Loss::Sigmoid, 0.0, 0.7768796493, -0.007917013542, 0.007917013542),
        (Loss::Hinge, 0.0, 1.086666667, -0.01666666667, 0.01666666667),
        (Loss::Ipo, 0.0, 23.08215154, -0.3211111111, 0.2675925926),
        (Loss::ExoPair, 0.001, 2.908173382, -0.02829069255, 0.02829069255),
        (Loss::NcaPair, 0.0, 1.427022091, -0.003854231755, 0.004062521696),
        (Loss::Robust, 0.1, 0.7835463159, -0.01000034688, 0.01000034688),
        (Loss::BcoPair, 0.0, 1.443936804, -0.008125043392, 0.008125043392),
        (Loss::SppoHard, 0.0, 80.53333333, -1.5, 1.5),
        (Loss::Aot, 0.1, 0.7166279173, -0.006250346875, 0.006250346875),
        (Loss::AotUnpaired, 0.1, 0.7162914202, -0.006999822336, 0.007041413747),
        (Loss::ApoZero, 0.0, 1.01382824, -0.004164063585, 0.004164063585),
        (Loss::ApoDown, 0.0, 0.9972287163, 7.796248137e-06, 0.004156267337),
        (Loss::Discopop, 0.0, 0.8486249926, -0.005111830724, 0.005111830724),
        (Loss::Sft, 0.0, 1.988613861, -0.009900990099, 0.0),
        (Loss::SigmoidNorm, 0.0, 0.6725016384, -0.001651389317, 0.001376157764),
    ];

    println!("{:14} {:>12} {:>12}   d loss/d logp: chosen     rejected", "loss", "libdpo", "TRL");
    let mut differing = 0;
    for (kind, label_smoothing, expected, chosen, rejected) in golden {
        let options = LossOptions { losses: vec![(kind, 1.0)], label_smoothing, ..Default::default() };
        let result = loss(&options, &pairs)?;
        let (gradient_chosen, gradient_rejected) = (result.gradient_chosen[0], result.gradient_rejected[0]);
        let near = |value: f64, golden: f64| (value - golden).abs() <= 1e-9 * golden.abs().max(1.0);
        let right = near(result.loss, expected) && near(gradient_chosen, chosen) && near(gradient_rejected, rejected);
        differing += !right as usize;
        println!(
            "{:14} {:12.8} {:12.8}   {:21.9} {:12.9}{}",
            kind.name(),
            result.loss,
            expected,
            gradient_chosen,
            gradient_rejected,
            if right { "" } else { "   differs" }
        );
    }
    println!(
        "\nGive each token of a completion its gradient as d loss / d log-prob and run your engine's backward pass."
    );
    assert_eq!(differing, 0, "losses differ from TRL's");
    Ok(())
}
