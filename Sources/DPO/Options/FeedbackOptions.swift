// Made by options/generate.py from the tables beside it: change those, and run `make options`.
// swift-format-ignore-file

import DPOBase

/// How feedback is trained on.
public struct FeedbackOptions: Sendable, Equatable {
  /// Stop after so many seconds. What was learned is kept, and the next call goes on. More than 0. nil: no limit.
  public var maxSeconds: Double?
  /// Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new. 0 to 1000.
  public var replay = 0.0
  /// New records to wait for before a session begins. At least 1.
  public var minRecords = 8
  /// Start anew: a new adapter, to which every record is new.
  public var retrain = false
  /// Options of the runs. The kind of the records decides the method; in the directory's first session the group
  /// `lora` describes the adapter. `threads` 0: one less than there are processors, which leaves the host one.
  public var training = FeedbackOptions.defaultTraining

  /// The defaults.
  public init() {}

  /// Throws `.invalidArgument` for a value out of range.
  public func validate() throws {
    if let maxSeconds, !(maxSeconds > 0 && maxSeconds.isFinite) {
      throw DPOError.argument("max_seconds is \(maxSeconds), expected more than 0")
    }
    guard replay >= 0, replay <= 1000 else {
      throw DPOError.argument("replay is \(replay), expected 0 to 1000")
    }
    guard minRecords >= 1 else {
      throw DPOError.argument("min_records is \(minRecords), expected at least 1")
    }
  }
}

extension FeedbackOptions {
  /// The options of a session's runs where nobody sets them.
  public static var defaultTraining: TrainingOptions {
    var options = TrainingOptions()
    options.optimization.learningRate = 2e-4
    options.batches.numTrainEpochs = 4.0
    options.batches.perDeviceTrainBatchSize = 4
    options.lora.rank = 16
    options.lora.alpha = 32.0
    options.lora.targetModules = ["all-linear"]
    return options
  }
}
