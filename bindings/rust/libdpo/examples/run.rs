//! A training with progress that is cancelled, goes on where it stopped, and ends in the same bits as one that was never
//! stopped; and its adapter for PEFT.
//!
//!     cargo run --example run MODEL PAIRS.jsonl DIRECTORY

use libdpo::{
    export, Dataset, Event, ExportFormat, ExportOptions, Metrics, Model, Resume, Status, TrainOptions, Trainer,
};
use std::ops::ControlFlow;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, pairs, directory) = match &arguments[..] {
        [model, pairs, directory] => (model, pairs, directory),
        _ => return Err("usage: run MODEL PAIRS.jsonl DIRECTORY".into()),
    };
    let directory = Path::new(directory);
    let options = TrainOptions {
        lora_r: Some(8),
        lora_target_modules: Some(vec!["all-linear".into()]),
        learning_rate: Some(1e-3),
        per_device_train_batch_size: Some(4),
        max_steps: Some(6),
        ..Default::default()
    };

    println!("A run that is cancelled after two steps:");
    let stopped = train(model, pairs, &directory.join("run"), &options, 2);
    match stopped {
        Err(error) if error.status == Status::Cancelled => println!("  {:?}: {error}", error.status),
        other => return Err(format!("the run was not cancelled: {other:?}").into()),
    }
    println!("It goes on:");
    let resumed = train(model, pairs, &directory.join("run"), &options, i64::MAX)?;
    println!("One that is never stopped:");
    let whole = train(model, pairs, &directory.join("whole"), &options, i64::MAX)?;
    assert_eq!((resumed.step, whole.step), (6, 6), "the runs have not come to their end");
    assert_eq!(resumed.loss.to_bits(), whole.loss.to_bits(), "the resumed run ends elsewhere");
    assert_eq!(resumed.rewards_margins.to_bits(), whole.rewards_margins.to_bits(), "the resumed run ends elsewhere");

    let adapter = directory.join("adapter");
    export(directory.join("run/final.h5"), ExportFormat::Peft, &adapter, &ExportOptions::default())?;
    assert!(adapter.join("adapter_config.json").exists(), "there is no adapter");
    println!("The adapter for PEFT is in {}, the report in {}.", adapter.display(), directory.join("run").display());
    Ok(())
}

/// Trains until the end, or until a step where it is cancelled, and gives the last step's metrics.
fn train(
    model: &str,
    pairs: &str,
    directory: &Path,
    options: &TrainOptions,
    cancel_at: i64,
) -> libdpo::Result<Metrics> {
    let model = Model::open(model)?;
    let dataset = Dataset::open(&model, pairs, options)?;
    let mut trainer = Trainer::new(&model, None, &dataset, None, options)?;
    let canceller = trainer.canceller(); // for Ctrl-C or another thread
    let mut last = None;
    trainer.run(directory, Resume::Last, |event| {
        match event {
            Event::Step { metrics, .. } => {
                println!(
                    "  step {} of {}: loss {:.4}, margin {:+.4}",
                    metrics.step, metrics.total_steps, metrics.loss, metrics.rewards_margins
                );
                last = Some(metrics);
                if metrics.step == cancel_at {
                    canceller.cancel();
                }
            }
            Event::Note(note) => println!("  {note}"),
            _ => {}
        }
        ControlFlow::Continue(()) // Break would stop it, too
    })?;
    Ok(last.expect("a run has steps"))
}
