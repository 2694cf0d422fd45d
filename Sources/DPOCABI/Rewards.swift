import CDPO
import DPO
import DPOBase
import DPOPlatform

// Section 3 of dpo.h: rewards of the policy's own completions.

@_cdecl("dpo_trainer_set_reward") @implementation
public func dpo_trainer_set_reward(
  _ trainer: OpaquePointer?, _ callback: dpo_reward_callback?, _ user_data: UnsafeMutableRawPointer?
) -> Int32 {
  withStatus(trainer) {
    // What it points to is the host's, as are the threads that it is used from.
    nonisolated(unsafe) let user_data = user_data
    try HandleKind.trainer.use(trainer) { session in
      try session.trainer.setReward(
        callback.map { callback in
          Judge(identity: "callback", readsText: false) { answers in
            var rewards = [Double](repeating: .nan, count: answers.count)
            let status = try withCAnswers(answers) { answers in
              rewards.withUnsafeMutableBufferPointer { rewards in
                onCallersThread { callback(answers, rewards.baseAddress, user_data) }
              }
            }
            guard status == 0 else { throw DPOError(.cancelled, "the reward callback failed with \(status)") }
            return rewards
          }
        })
    }
  }
}

@_cdecl("dpo_trainer_set_reward_model") @implementation
public func dpo_trainer_set_reward_model(_ trainer: OpaquePointer?, _ reward_model: OpaquePointer?) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      let judge = try HandleKind.model.use(reward_model, as: "reward_model", Judge.rewardModel)
      try session.trainer.setReward(judge)
    }
  }
}

@_cdecl("dpo_trainer_set_reward_classifier") @implementation
public func dpo_trainer_set_reward_classifier(
  _ trainer: OpaquePointer?, _ classifier: OpaquePointer?, _ completion_only: Int32
) -> Int32 {
  withStatus(trainer) {
    try HandleKind.trainer.use(trainer) { session in
      let judge = try HandleKind.classifier.use(classifier) {
        Judge.classifier($0.classifier, completionOnly: completion_only != 0)
      }
      try session.trainer.setReward(judge)
    }
  }
}

/// The answers as dpo.h has them, for the duration of `body`.
private func withCAnswers<Result>(
  _ answers: [Answer], _ body: (UnsafePointer<dpo_answers>) -> Result
) throws -> Result {
  let memory = CallMemory()
  var value = dpo_answers()
  value.struct_size = MemoryLayout<dpo_answers>.stride
  value.count = answers.count
  value.prompts = try memory.array(answers.map { try memory.text($0.prompt) })
  value.completions = try memory.array(answers.map { try memory.text($0.completion) })
  value.prompt_is_chat = try memory.array(answers.map { if case .chat = $0.prompt { Int32(1) } else { 0 } })
  value.stopped = try memory.array(answers.map { $0.isFinished ? Int32(1) : 0 })
  value.prompt_ids = try memory.array(answers.map { try memory.array($0.promptTokens) })
  value.prompt_lengths = try memory.array(answers.map(\.promptTokens.count))
  value.completion_ids = try memory.array(answers.map { try memory.array($0.completionTokens) })
  value.completion_lengths = try memory.array(answers.map(\.completionTokens.count))
  value.rows = try memory.array(answers.map(\.row))
  value.columns = try memory.array(answers.map { try memory.text(.text(JSON.object($0.columns).description)) })
  value.is_evaluation = answers.contains(where: \.isEvaluation) ? 1 : 0
  return withExtendedLifetime(memory) { body(&value) }
}

/// Copies that live as long as it does.
private final class CallMemory {
  private var owned: [UnsafeMutableRawPointer] = []

  deinit { owned.forEach { free($0) } }

  func array<Element>(_ values: [Element]) throws -> UnsafePointer<Element>? {
    guard let copy = malloc(max(1, values.count * MemoryLayout<Element>.stride)) else {
      throw DPOError(.memory, "no memory for \(values.count) answers")
    }
    owned.append(copy)
    let typed = copy.bindMemory(to: Element.self, capacity: values.count)
    typed.initialize(from: values, count: values.count)
    return UnsafePointer(typed)
  }

  /// Text, or JSON of messages; nil where only tokens are known. A NUL character in the middle would end the text for a C host.
  func text(_ content: Content?) throws -> UnsafePointer<CChar>? {
    guard let content else { return nil }
    let whole = if case .text(let text) = content { text } else { content.json.description }
    let text = String(whole.map { $0 == "\0" ? "\u{FFFD}" : $0 })
    let copy = try copiedText(text).text
    owned.append(copy)
    return UnsafePointer(copy)
  }
}
