import ArgumentParser
import DPO

struct Classifier: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Train, evaluate and apply a text classifier, a judge for `dpo label`.",
    subcommands: [Training.self, Evaluation.self, Application.self])

  struct Training: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "train",
      abstract: "Learn from texts and their labels: tf-idf of n-grams under logistic regression, calibrated.",
      discussion: """
        Prints accuracy, AUC and calibration on held-out folds. Probabilities are calibrated by Platt's scaling of the \
        held-out scores.
        """)

    @Option(help: "Rows with \"text\" and \"label\" (true, false, 1 or 0).", completion: .file())
    var data: String

    @Option(name: .shortAndLong, help: "File that the classifier goes to (HDF5).", completion: .file())
    var output: String

    @Option(help: ArgumentHelp("Weight of the data against the regulariser.", valueName: "C"))
    var cost = 3.0

    @Option(help: ArgumentHelp("Folds of cross-validation.", valueName: "K"))
    var folds = 5

    @Option(help: ArgumentHelp("Compute threads; 0: one a core.", valueName: "N"))
    var threads = 0

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func run() throws {
      let (texts, labels) = try LabelledTexts.read(data)
      let training = try TextClassifier.trainCalibrated(
        texts: texts, labels: labels, cost: cost, folds: folds, threads: threads)
      try training.classifier.save(output)
      if json {
        printJSON([
          "output": .string(output), "count": .int(texts.count), "folds": .int(folds),
          "held_out": training.calibrated.json, "held_out_uncalibrated": training.uncalibrated.json,
          "calibration": [
            "slope": .real(training.calibration.slope), "intercept": .real(training.calibration.intercept),
          ],
        ])
      } else {
        print("\(texts.count) texts, \(folds) folds; on texts held out:\n\(training.calibrated.table)")
        print(
          "before calibration: log loss \(short(training.uncalibrated.logLoss)), calibration error "
            + short(training.uncalibrated.calibrationError))
        print("classifier in \(output)")
      }
    }
  }

  struct Evaluation: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "evaluate", abstract: "Accuracy, AUC and calibration of a classifier on labelled texts.")

    @Argument(help: "What `dpo classifier train` wrote.", completion: .file())
    var classifier: String

    @Option(help: "Rows with \"text\" and \"label\" (true, false, 1 or 0).", completion: .file())
    var data: String

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func run() throws {
      let model = try TextClassifier.load(classifier)
      let (texts, labels) = try LabelledTexts.read(data)
      let quality = ClassifierQuality(scores: texts.map(model.logOdds), labels: labels)
      if json { printJSON(quality.json) } else { print(quality.table) }
    }
  }

  struct Application: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "apply",
      abstract: "Score texts: prints each row with \"score\", the log-odds of the positive class, and \"probability\".")

    @Argument(help: "What `dpo classifier train` wrote.", completion: .file())
    var classifier: String

    @Option(help: "Rows with \"text\".", completion: .file())
    var data: String

    @Option(name: .shortAndLong, help: "File that the rows go to; unset: stdout.", completion: .file())
    var output: String?

    func run() throws {
      let model = try TextClassifier.load(classifier)
      let file = try output.map { try AtomicFile($0) }
      try RowFiles([data]).forEach { row, place in
        guard let text = row["text"]?.string else {
          throw DPOError.format(place.description, "\"text\" is \(row["text"]?.kind ?? "missing"), expected a string")
        }
        var row = row
        row["score"] = .real(model.logOdds(text))
        row["probability"] = .real(model.probability(text))
        if let file { try file.write(JSON.object(row).description + "\n") } else { print(JSON.object(row)) }
      }
      try file?.commit()
    }
  }
}

private func short(_ value: Double) -> String { Terminal.short(value) }

extension ClassifierQuality {
  var json: JSON {
    [
      "count": .int(count), "accuracy": .real(accuracy), "majority": .real(majority), "auc": .real(auc),
      "calibration_error": .real(calibrationError), "log_loss": .real(logLoss), "brier": .real(brier),
      "bins": .array(
        bins.map { ["count": .int($0.count), "probability": .real($0.probability), "positive": .real($0.positive)] }),
    ]
  }

  var table: String {
    """
      accuracy           \(short(accuracy)) (always the commoner label: \(short(majority)))
      AUC                \(short(auc))
      calibration error  \(short(calibrationError)) (ten bins)
      log loss           \(short(logLoss))
      Brier score        \(short(brier))
    """
  }
}
