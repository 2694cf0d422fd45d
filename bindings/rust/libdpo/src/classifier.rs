use crate::error::{check, Result};
use crate::native::{c_path, Handle, Texts};
use libdpo_sys as sys;
use std::path::Path;
use std::time::Duration;

/// A judge of texts: tf-idf of words and characters under logistic regression.
pub struct Classifier(pub(crate) Handle<sys::dpo_classifier>);

impl Classifier {
    /// Learns from texts with their labels. `cost` is the weight of the data against the regulariser, 3 is usual;
    /// probabilities are calibrated on `folds` held-out folds, 5 is usual; 0: not at all.
    pub fn train<S: AsRef<str>>(texts: &[(S, bool)], cost: f64, folds: i32) -> Result<Classifier> {
        let labels: Vec<i32> = texts.iter().map(|(_, label)| *label as i32).collect();
        let texts = Texts::new(texts.iter().map(|(text, _)| text), "text")?;
        Handle::new(sys::dpo_classifier_release, |out| unsafe {
            sys::dpo_classifier_train(texts.get(), labels.as_ptr(), texts.len(), cost, folds, out)
        })
        .map(Classifier)
    }

    /// What [`Classifier::save`] or `dpo classifier train` wrote.
    pub fn open(path: impl AsRef<Path>) -> Result<Classifier> {
        let path = c_path(path.as_ref())?;
        Handle::new(sys::dpo_classifier_release, |out| unsafe { sys::dpo_classifier_open(path.as_ptr(), out) })
            .map(Classifier)
    }

    /// Writes the classifier.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path.as_ref())?;
        check(unsafe { sys::dpo_classifier_save(self.0.get(), path.as_ptr()) })
    }

    /// ln(p / (1 - p)) of label true for each text.
    pub fn score<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<f64>> {
        let texts = Texts::new(texts, "text")?;
        let mut log_odds = vec![0.0; texts.len()];
        check(unsafe { sys::dpo_classifier_score(self.0.get(), texts.get(), texts.len(), log_odds.as_mut_ptr()) })?;
        Ok(log_odds)
    }

    /// How long calls wait while another thread's call uses the classifier; see [`Model::set_wait`](crate::Model::set_wait).
    pub fn set_wait(&self, wait: Duration) -> Result<()> {
        self.0.set_wait(wait)
    }
}
