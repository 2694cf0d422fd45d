import DPO
import Glibc

/// Thumbs of an app's users become an adapter, in the background and bit by bit.
///
///     swift run -c release thumbs model.gguf directory
///
/// Two answers are judged, as a chat window would do it; the adapter learns what was judged since the last call.
@main
struct Thumbs {
  static func main() async {
    guard CommandLine.arguments.count == 3 else {
      print("usage: thumbs MODEL DIRECTORY")
      exit(2)
    }
    do {
      try await learn(model: CommandLine.arguments[1], directory: CommandLine.arguments[2])
    } catch {
      print("error: \(error)")
      exit(1)
    }
  }

  static func learn(model path: String, directory: String) async throws {
    mkdir(directory, 0o755)
    let feedback = try FeedbackStore("\(directory)/feedback.jsonl")
    let messages: [Chat.Message] = [.user("How do I boil an egg?")]
    let question = Content.chat(messages)
    let (warm, curt) = ("With pleasure! Bring water to the boil first.", "Look it up.")
    // Any thread may record, and any process.
    try feedback.record(prompt: question, answer: warm, thumbUp: true)
    try feedback.record(prompt: question, answer: curt, thumbUp: false)
    try feedback.record(prompt: question, chosen: warm, rejected: curt)

    var options = FeedbackOptions()
    options.minRecords = 3
    options.maxSeconds = 60
    // A cancelled task stops after the micro-batch that it is at; the next call goes on from there.
    let training = Task.detached(priority: .background) {
      try feedback.train(
        model: ModelFile.open(path), into: "\(directory)/adapter", options: options,
        stopRequested: { Task.isCancelled })
    }
    let result = try await training.value
    print("\(result.outcome.text): \(result.steps) steps on \(result.new) records, adapter \(result.adapter ?? "none")")

    guard let adapter = result.adapter else { return }
    for model in [try LanguageModel(path: path), try LanguageModel(path: path, adapter: adapter)] {
      let prompt = try model.text(of: messages)
      let scores = try model.score(texts: [(prompt, warm), (prompt, curt)])
      print("log p(warm) - log p(curt): \(scores[0].logProb - scores[1].logProb)")
    }
  }
}
