//! A program that learns from its users: answers, thumbs and choices, a training in the background, the new adapter in use.
//!
//!     cargo run --example feedback MODEL DIRECTORY

use libdpo::{Event, Feedback, FeedbackOptions, GenerationOptions, Model, OpenOptions, Outcome, TrainOptions};
use std::ops::ControlFlow;
use std::path::Path;
use std::{fs, thread};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, directory) = match &arguments[..] {
        [path, directory] => (path, directory),
        _ => return Err("usage: feedback MODEL DIRECTORY".into()),
    };
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;
    let feedback = Feedback::open(directory.join("feedback.jsonl"))?;
    let model = Model::open(path)?;

    // What people said.
    let prompt = "She said: the story is";
    for (answer, up) in [(" quite wonderful.", true), (" dull.", false), (" a joy.", true), (" a waste.", false)] {
        let id = feedback.record_thumb(prompt, answer, up, 1.0)?;
        println!("record {id}: thumb {} for {answer:?}", if up { "up" } else { "down" });
    }
    feedback.record_choice(prompt, " quite wonderful.", " a waste of time.", 1.0)?;
    feedback.record_choice("We found the harbour", " lovely.", " a waste of time.", 1.0)?;
    assert_eq!(feedback.count()?, 6);

    // In the background, on a model of its own, so that the one that answers stays free; both map the same file.
    let options = FeedbackOptions {
        min_records: Some(4),
        training: Some(TrainOptions { learning_rate: Some(5e-3), lora_r: Some(8), ..Default::default() }),
        ..Default::default()
    };
    let adapters = directory.join("adapters");
    let result = thread::scope(|scope| {
        let training = scope.spawn(|| {
            let base = Model::open(path)?;
            feedback.train_with(&base, &adapters, &options, |event| {
                match event {
                    Event::Step { metrics, .. } => println!("[step {}: loss {:.4}]", metrics.step, metrics.loss),
                    Event::Checkpoint(path) => println!("[new adapter: {}]", path.display()),
                    _ => {}
                }
                ControlFlow::Continue(())
            })
        });
        println!("meanwhile: {:?}", answer(&model, prompt)?);
        training.join().expect("the training panicked")
    })?;
    println!("{:?}: {} records, {} steps", result.outcome, result.new_records, result.steps);
    assert_eq!((result.outcome, result.new_records), (Outcome::Finished, 6));
    assert_eq!(feedback.train(&model, &adapters, &options)?.outcome, Outcome::NothingNew);

    // The adapter in use: what was liked is likelier than before, against what was not.
    let adapter = Some(adapters.join("adapter.h5"));
    let tuned = Model::open_with(path, &OpenOptions { adapter, ..Default::default() })?;
    println!("tuned: {:?}", answer(&tuned, prompt)?);
    let (before, after) = (margin(&model, prompt)?, margin(&tuned, prompt)?);
    println!("log-odds of the liked answer: {before:.3} before, {after:.3} after");
    assert!(after > before, "nothing was learned");
    println!("For llama.cpp: {}", adapters.join("adapter.gguf").display());
    Ok(())
}

fn answer(model: &Model, prompt: &str) -> libdpo::Result<String> {
    let options = GenerationOptions { max_new_tokens: Some(12), temperature: Some(0.0), ..Default::default() };
    Ok(model.generate(&[prompt], &options)?.get(0, 0)?.text.to_string())
}

fn margin(model: &Model, prompt: &str) -> libdpo::Result<f64> {
    let scores = model.score(&[(prompt, " quite wonderful."), (prompt, " a waste of time.")])?;
    Ok(scores[0].logp - scores[1].logp)
}
