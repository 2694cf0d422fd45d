//! Losses on log-probabilities from any engine, and the closed form of what they maximise.

use crate::error::{check, invalid, Result};
use crate::options::Loss;
use libdpo_sys as sys;
use std::mem::{size_of, MaybeUninit};
use std::ptr;

/// The divergence from the reference that the loss assumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum FDivergence {
    /// KL(policy || reference), the paper's.
    ReverseKl = sys::DPO_F_REVERSE_KL,
    /// KL(reference || policy).
    ForwardKl = sys::DPO_F_FORWARD_KL,
    /// Jensen–Shannon.
    JsDivergence = sys::DPO_F_JS_DIVERGENCE,
    /// With `f_alpha_divergence_coef`.
    AlphaDivergence = sys::DPO_F_ALPHA_DIVERGENCE,
}

/// Options of [`loss`] and of the closed form.
#[derive(Clone, Debug, PartialEq)]
pub struct LossOptions {
    /// More than 0. Default 0.1.
    pub beta: f64,
    /// `exo_pair` needs (0, 1), `robust` [0, 0.5). Default 0.
    pub label_smoothing: f64,
    /// More than 0. Default 0.05.
    pub discopop_tau: f64,
    /// Default 0.5.
    pub f_alpha_divergence_coef: f64,
    /// Default `ReverseKl`.
    pub f_divergence: FDivergence,
    /// Reference log-probs count as 0.
    pub reference_free: bool,
    /// Losses with their weights. Default: sigmoid alone.
    pub losses: Vec<(Loss, f64)>,
}

impl Default for LossOptions {
    fn default() -> LossOptions {
        let options = native_defaults();
        LossOptions {
            beta: options.beta,
            label_smoothing: options.label_smoothing,
            discopop_tau: options.discopop_tau,
            f_alpha_divergence_coef: options.f_alpha_divergence_coef,
            f_divergence: FDivergence::ReverseKl,
            reference_free: options.reference_free != 0,
            losses: vec![(Loss::Sigmoid, 1.0)],
        }
    }
}

fn native_defaults() -> sys::dpo_loss_options {
    let mut options = MaybeUninit::uninit();
    // It fails for a size that is too small only, and ours is that of the header.
    let status = unsafe { sys::dpo_loss_options_init(options.as_mut_ptr(), size_of::<sys::dpo_loss_options>()) };
    assert_eq!(status, sys::DPO_OK);
    unsafe { options.assume_init() }
}

impl LossOptions {
    fn with_native<R>(&self, call: impl FnOnce(&sys::dpo_loss_options) -> R) -> R {
        let types: Vec<i32> = self.losses.iter().map(|(loss, _)| *loss as i32).collect();
        let weights: Vec<f64> = self.losses.iter().map(|(_, weight)| *weight).collect();
        let mut options = native_defaults();
        options.beta = self.beta;
        options.label_smoothing = self.label_smoothing;
        options.discopop_tau = self.discopop_tau;
        options.f_alpha_divergence_coef = self.f_alpha_divergence_coef;
        options.f_divergence = self.f_divergence as i32;
        options.reference_free = self.reference_free as i32;
        if !types.is_empty() {
            options.loss_types = types.as_ptr();
            options.loss_weights = weights.as_ptr();
            options.loss_count = types.len();
        }
        call(&options)
    }
}

/// Summed log-probs of the chosen and rejected completions of pairs, and what else a loss may need of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pairs<'a> {
    pub policy_chosen: &'a [f64],
    pub policy_rejected: &'a [f64],
    /// May be left out with `reference_free`.
    pub reference_chosen: Option<&'a [f64]>,
    pub reference_rejected: Option<&'a [f64]>,
    /// Tokens of the completions: for ipo, sigmoid_norm and sft.
    pub chosen_tokens: Option<&'a [i32]>,
    pub rejected_tokens: Option<&'a [i32]>,
    /// Weight of each pair; 1 each where they are left out.
    pub weights: Option<&'a [f64]>,
}

/// A loss, and for each pair what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// The mean over the pairs.
    pub loss: f64,
    /// Before the mean.
    pub losses: Vec<f64>,
    /// d loss / d policy log-prob of the chosen completion: also that of each of its tokens.
    pub gradient_chosen: Vec<f64>,
    pub gradient_rejected: Vec<f64>,
    /// β·log(π/π_ref).
    pub reward_chosen: Vec<f64>,
    pub reward_rejected: Vec<f64>,
}

fn same_length<T>(name: &str, values: &[T], count: usize) -> Result<()> {
    if values.len() != count {
        return Err(invalid(format!("{name} has {} numbers, expected {count}", values.len())));
    }
    Ok(())
}

fn optional<T>(name: &str, values: Option<&[T]>, count: usize) -> Result<*const T> {
    match values {
        None => Ok(ptr::null()),
        Some(values) => same_length(name, values, count).map(|()| values.as_ptr()),
    }
}

/// The loss of preference pairs and its gradient.
pub fn loss(options: &LossOptions, pairs: &Pairs) -> Result<Losses> {
    let count = pairs.policy_chosen.len();
    same_length("policy_rejected", pairs.policy_rejected, count)?;
    let reference_chosen = optional("reference_chosen", pairs.reference_chosen, count)?;
    let reference_rejected = optional("reference_rejected", pairs.reference_rejected, count)?;
    let chosen_tokens = optional("chosen_tokens", pairs.chosen_tokens, count)?;
    let rejected_tokens = optional("rejected_tokens", pairs.rejected_tokens, count)?;
    let weights = optional("weights", pairs.weights, count)?;
    let zeros = vec![0.0; count];
    let mut result = Losses {
        loss: 0.0,
        losses: zeros.clone(),
        gradient_chosen: zeros.clone(),
        gradient_rejected: zeros.clone(),
        reward_chosen: zeros.clone(),
        reward_rejected: zeros,
    };
    check(options.with_native(|native| unsafe {
        sys::dpo_loss_compute(
            native,
            count,
            pairs.policy_chosen.as_ptr(),
            pairs.policy_rejected.as_ptr(),
            reference_chosen,
            reference_rejected,
            chosen_tokens,
            rejected_tokens,
            weights,
            &mut result.loss,
            result.losses.as_mut_ptr(),
            result.gradient_chosen.as_mut_ptr(),
            result.gradient_rejected.as_mut_ptr(),
            result.reward_chosen.as_mut_ptr(),
            result.reward_rejected.as_mut_ptr(),
        )
    }))?;
    Ok(result)
}

/// Answers to one prompt: log-probs and ranks, of which only the order counts; lower is better.
#[derive(Clone, Copy, Debug)]
pub struct Ranking<'a> {
    pub ranks: &'a [f64],
    pub policy: &'a [f64],
    pub reference: &'a [f64],
    pub weight: f64,
}

/// A loss over rankings; gradients and rewards have a list for each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedLosses {
    pub loss: f64,
    pub losses: Vec<f64>,
    pub gradients: Vec<Vec<f64>>,
    pub rewards: Vec<Vec<f64>>,
}

/// The loss of ranked answers by the Plackett–Luce model (the paper's equation 20).
pub fn ranked_loss(beta: f64, rankings: &[Ranking]) -> Result<RankedLosses> {
    let counts: Vec<usize> = rankings.iter().map(|row| row.ranks.len()).collect();
    for (index, row) in rankings.iter().enumerate() {
        same_length(&format!("policy of ranking {index}"), row.policy, row.ranks.len())?;
        same_length(&format!("reference of ranking {index}"), row.reference, row.ranks.len())?;
    }
    let joined = |part: fn(&Ranking) -> Vec<f64>| rankings.iter().flat_map(part).collect::<Vec<f64>>();
    let ranks = joined(|row| row.ranks.to_vec());
    let policy = joined(|row| row.policy.to_vec());
    let reference = joined(|row| row.reference.to_vec());
    let weights = joined(|row| vec![row.weight]);
    let (mut loss, mut losses) = (0.0, vec![0.0; rankings.len()]);
    let (mut gradients, mut rewards) = (vec![0.0; ranks.len()], vec![0.0; ranks.len()]);
    check(unsafe {
        sys::dpo_loss_compute_ranked(
            beta,
            rankings.len(),
            counts.as_ptr(),
            ranks.as_ptr(),
            policy.as_ptr(),
            reference.as_ptr(),
            weights.as_ptr(),
            &mut loss,
            losses.as_mut_ptr(),
            gradients.as_mut_ptr(),
            rewards.as_mut_ptr(),
        )
    })?;
    Ok(RankedLosses { loss, losses, gradients: cut(&gradients, &counts), rewards: cut(&rewards, &counts) })
}

/// Consecutive parts of the given lengths.
pub(crate) fn cut<T: Clone>(values: &[T], counts: &[usize]) -> Vec<Vec<T>> {
    let mut rest = values;
    counts
        .iter()
        .map(|count| {
            let (part, after) = rest.split_at(*count);
            rest = after;
            part.to_vec()
        })
        .collect()
}

/// The policy that maximises reward - beta * divergence over all answers to a prompt, as log-probs, and its normaliser:
/// for KL beta log Z.
pub fn policy_optimum(options: &LossOptions, reference_logps: &[f64], rewards: &[f64]) -> Result<(Vec<f64>, f64)> {
    same_length("rewards", rewards, reference_logps.len())?;
    let (mut policy, mut normalizer) = (vec![0.0; rewards.len()], 0.0);
    check(options.with_native(|native| unsafe {
        sys::dpo_policy_optimum(
            native,
            rewards.len(),
            reference_logps.as_ptr(),
            rewards.as_ptr(),
            policy.as_mut_ptr(),
            &mut normalizer,
        )
    }))?;
    Ok((policy, normalizer))
}

/// The rewards for which a policy is the best one, up to the normaliser.
pub fn policy_rewards(options: &LossOptions, policy_logps: &[f64], reference_logps: &[f64]) -> Result<Vec<f64>> {
    same_length("reference_logps", reference_logps, policy_logps.len())?;
    let mut rewards = vec![0.0; policy_logps.len()];
    check(options.with_native(|native| unsafe {
        sys::dpo_policy_rewards(
            native,
            rewards.len(),
            policy_logps.as_ptr(),
            reference_logps.as_ptr(),
            rewards.as_mut_ptr(),
        )
    }))?;
    Ok(rewards)
}

/// The divergence of a policy from a reference; infinity is possible.
pub fn policy_divergence(options: &LossOptions, policy_logps: &[f64], reference_logps: &[f64]) -> Result<f64> {
    same_length("reference_logps", reference_logps, policy_logps.len())?;
    let mut divergence = 0.0;
    check(options.with_native(|native| unsafe {
        sys::dpo_policy_divergence(
            native,
            policy_logps.len(),
            policy_logps.as_ptr(),
            reference_logps.as_ptr(),
            &mut divergence,
        )
    }))?;
    Ok(divergence)
}

/// Probabilities that answers of the first rewards are preferred to those of the second.
pub fn bradley_terry(first_rewards: &[f64], second_rewards: &[f64]) -> Result<Vec<f64>> {
    same_length("second_rewards", second_rewards, first_rewards.len())?;
    let mut probabilities = vec![0.0; first_rewards.len()];
    check(unsafe {
        sys::dpo_bradley_terry(
            first_rewards.len(),
            first_rewards.as_ptr(),
            second_rewards.as_ptr(),
            probabilities.as_mut_ptr(),
        )
    })?;
    Ok(probabilities)
}

/// Generalised advantage estimation over completions of `counts` tokens, which stand one after the other: advantages and
/// returns.
pub fn gae(rewards: &[f64], values: &[f64], counts: &[usize], gamma: f64, lam: f64) -> Result<(Vec<f64>, Vec<f64>)> {
    let tokens = counts.iter().sum();
    same_length("rewards", rewards, tokens)?;
    same_length("values", values, tokens)?;
    let (mut advantages, mut returns) = (vec![0.0; tokens], vec![0.0; tokens]);
    check(unsafe {
        sys::dpo_gae(
            rewards.as_ptr(),
            values.as_ptr(),
            counts.as_ptr(),
            counts.len(),
            gamma,
            lam,
            advantages.as_mut_ptr(),
            returns.as_mut_ptr(),
        )
    })?;
    Ok((advantages, returns))
}

/// Options of [`ppo_loss`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PpoOptions {
    /// Default 0.2.
    pub cliprange: f64,
    /// Default 0.2.
    pub cliprange_value: f64,
    /// Default 0.1.
    pub vf_coef: f64,
}

impl Default for PpoOptions {
    fn default() -> PpoOptions {
        let options = native_ppo_defaults();
        PpoOptions { cliprange: options.cliprange, cliprange_value: options.cliprange_value, vf_coef: options.vf_coef }
    }
}

fn native_ppo_defaults() -> sys::dpo_ppo_options {
    let mut options = MaybeUninit::uninit();
    let status = unsafe { sys::dpo_ppo_options_init(options.as_mut_ptr(), size_of::<sys::dpo_ppo_options>()) };
    assert_eq!(status, sys::DPO_OK);
    unsafe { options.assume_init() }
}

/// Values of drawn tokens now and when they were drawn, and their returns.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub values: &'a [f32],
    pub old_values: &'a [f32],
    pub returns: &'a [f32],
}

/// PPO's loss with its gradients for each token; that of the values is empty without them.
#[derive(Clone, Debug, PartialEq)]
pub struct PpoLoss {
    pub loss: f64,
    pub gradient_logps: Vec<f64>,
    pub gradient_values: Vec<f64>,
}

/// PPO's loss over tokens: log-probs now and when they were drawn, advantages, and perhaps a value function.
pub fn ppo_loss(
    options: &PpoOptions,
    logps: &[f32],
    old_logps: &[f32],
    advantages: &[f32],
    values: Option<Values>,
) -> Result<PpoLoss> {
    let count = logps.len();
    same_length("old_logps", old_logps, count)?;
    same_length("advantages", advantages, count)?;
    let now = optional("values", values.map(|all| all.values), count)?;
    let old = optional("old_values", values.map(|all| all.old_values), count)?;
    let returns = optional("returns", values.map(|all| all.returns), count)?;
    let mut native = native_ppo_defaults();
    native.cliprange = options.cliprange;
    native.cliprange_value = options.cliprange_value;
    native.vf_coef = options.vf_coef;
    let mut result = PpoLoss {
        loss: 0.0,
        gradient_logps: vec![0.0; count],
        gradient_values: vec![0.0; if values.is_some() { count } else { 0 }],
    };
    let gradient_values = if values.is_some() { result.gradient_values.as_mut_ptr() } else { ptr::null_mut() };
    check(unsafe {
        sys::dpo_ppo_loss(
            &native,
            count,
            logps.as_ptr(),
            old_logps.as_ptr(),
            advantages.as_ptr(),
            now,
            old,
            returns,
            &mut result.loss,
            result.gradient_logps.as_mut_ptr(),
            gradient_values,
        )
    })?;
    Ok(result)
}
