/// What a call of `FeedbackStore.train` came to.
public struct FeedbackResult: Sendable {
  /// How a call ended. Raw values are those of the C interface.
  public enum Outcome: Int32, Sendable, CaseIterable {
    /// No record is new; nothing was changed.
    case nothingNew = 0
    /// Fewer records are new than `minRecords`; nothing was changed.
    case waiting = 1
    /// Everything is trained on.
    case finished = 2
    /// The time was over; the next call goes on.
    case stopped = 3

    /// In words, as `dpo feedback train --json` writes it: "nothing new", "waiting", "finished" or "stopped".
    public var text: String {
      switch self {
      case .nothingNew: "nothing new"
      case .waiting: "waiting"
      case .finished: "finished"
      case .stopped: "stopped"
      }
    }
  }

  /// How the call ended.
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
