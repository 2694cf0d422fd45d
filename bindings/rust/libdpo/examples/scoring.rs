//! How probable a model finds answers, token by token too, and an answer of its own that is shown while it is drawn.
//!
//!     cargo run --example scoring MODEL

use libdpo::{CompletionIds, GenerationOptions, Model};
use std::io::Write;
use std::ops::ControlFlow;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: scoring MODEL")?;
    let model = Model::open(&path)?;
    let info = model.info()?;
    println!(
        "{}, {} parameters, {} layers, context of {} tokens\n",
        info.architecture, info.parameters, info.layers, info.context_length
    );

    // Texts: tokenised as in training, end of sequence included.
    let prompt = "The harbour was quiet";
    let answers = [" in the early morning.", " a waste of time."];
    let scores = model.score(&answers.map(|answer| (prompt, answer)))?;
    for (answer, score) in answers.iter().zip(&scores) {
        println!("log p({answer:?} | {prompt:?}) = {:.4} over {} tokens", score.logp, score.tokens);
    }

    // Tokens: the prompt is computed once for all its completions, and each token's log-prob comes back.
    let prompt_ids = model.encode(prompt, true)?;
    let mut ids = model.encode(answers[0], false)?;
    ids.extend(info.eos_token);
    let tokens = model.score_tokens(&[&prompt_ids], &[CompletionIds { prompt: 0, ids: &ids }])?;
    println!("\nToken by token:");
    for (id, logp) in ids.iter().zip(&tokens.tokens[0]) {
        println!("{id:8}  {:12} {logp:9.4}", format!("{:?}", model.decode(&[*id])?));
    }
    println!("     sum               {:9.4}", tokens.sums[0]);
    assert!((tokens.sums[0] - scores[0].logp).abs() < 1e-3, "the same answer has another log-prob by its tokens");

    // An answer, drawn greedily.
    print!("\n{prompt}");
    let mut shown = String::new();
    let options = GenerationOptions { max_new_tokens: Some(12), temperature: Some(0.0), ..Default::default() };
    let completions = model.generate_with(&[prompt], &options, |token| {
        shown += token.text;
        print!("{}", token.text);
        // Break would end it here.
        match std::io::stdout().flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    let answer = completions.get(0, 0)?;
    println!(
        "\n({} tokens, {})",
        answer.ids.len(),
        if answer.stopped { "ended by itself" } else { "cut at the length" }
    );
    assert_eq!(shown, answer.text, "what was shown is not what was drawn");
    Ok(())
}
