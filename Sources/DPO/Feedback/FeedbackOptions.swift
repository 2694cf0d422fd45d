import DPOBase

/// How feedback is trained on.
public struct FeedbackOptions: Sendable, Equatable {
  /// The runs' options. The kind of the records decides `method`; in the directory's first session `lora_r` and its
  /// companions describe the adapter. `threads` 0: one less than there are processors, which leaves the host one.
  public var training = FeedbackOptions.defaultTraining
  /// Stops after so many seconds; what was learnt is kept, and the next call goes on. nil: no limit.
  public var maxSeconds: Double?
  /// New records to wait for before a session begins.
  public var minRecords = 8
  /// Older records that a session mixes in, drawn at random, for each new one; 1: as many old as new.
  public var replay = 0.0
  /// Starts anew: a new adapter, to which every record is new.
  public var retrain = false

  public init() {}

  /// Small batches: a stop lands soon, and a few records are a few steps.
  public static var defaultTraining: TrainingOptions {
    var options = TrainingOptions()
    options.learningRate = 2e-4
    options.numTrainEpochs = 4
    options.perDeviceTrainBatchSize = 4
    options.loraR = 16
    options.loraAlpha = 32
    options.loraTargetModules = ["all-linear"]
    return options
  }

  func validate() throws {
    if let maxSeconds, !(maxSeconds > 0) {
      throw DPOError.argument("max_seconds is \(maxSeconds), expected more than 0")
    }
    guard minRecords >= 1 else { throw DPOError.argument("min_records is \(minRecords), expected 1 or more") }
    guard replay >= 0, replay <= 1000 else { throw DPOError.argument("replay is \(replay), expected 0 to 1000") }
    guard training.loraR > 0 else {
      throw DPOError.argument("lora_r is 0; feedback trains an adapter, whose rank is 1 or more")
    }
    guard ["dpo", "kto"].contains(training.method) else {
      throw DPOError.argument("method is \(training.method); the records decide it: choices train dpo, thumbs kto")
    }
    guard !training.syncRefModel, !training.precomputeRefLogProbs else {
      throw DPOError.argument(
        "feedback is compared with the model itself: leave sync_ref_model and precompute_ref_log_probs out")
    }
  }
}

/// What a call of `FeedbackStore.train` came to.
public struct FeedbackResult: Sendable {
  public enum Outcome: Int32, Sendable, CaseIterable {
    /// No record is new; nothing was changed.
    case nothingNew = 0
    /// Fewer records are new than `minRecords`; nothing was changed.
    case waiting = 1
    /// Everything is trained on.
    case finished = 2
    /// The time was over; the next call goes on.
    case stopped = 3

    public var text: String {
      switch self {
      case .nothingNew: "nothing new"
      case .waiting: "waiting"
      case .finished: "finished"
      case .stopped: "stopped"
      }
    }
  }

  public var outcome: Outcome
  /// New records: of the session, or waiting for one.
  public var new = 0
  /// Older ones that the session mixed in.
  public var replayed = 0
  /// New ones that no training can read, such as a prompt longer than `max_length`.
  public var skipped = 0
  /// Optimiser steps of this call.
  public var steps = 0
  /// The adapter for libdpo, and the same for llama.cpp; nil where there is none yet.
  public var adapter, ggufAdapter: String?
  /// The last step of this call.
  public var last: StepRecord?
}
