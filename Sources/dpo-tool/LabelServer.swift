import DPO
import DPOPlatform

/// The page on which people label, and what it asks for:
/// GET TOKEN/, TOKEN/page.css, TOKEN/page.js, TOKEN/text.js, TOKEN/state; POST TOKEN/answer {"question", "verdict", "revision"}, with
/// "ranks" of a ranking and "comment", and TOKEN/undo {"revision"}, which give the new state, with status 409 if the page was
/// outdated. Answers are counted as they are shown.
struct LabelServer {
  let session: LabelSession
  /// Without it no address answers.
  private let token: String
  private let server: LocalServer

  init(session: LabelSession, port: UInt16) throws {
    self.session = session
    var random = SystemRandomNumberGenerator()  // the kernel's
    token = (0..<32).map { _ in String(UInt8.random(in: 0..<16, using: &random), radix: 16) }.joined()
    server = try LocalServer(port: port)
  }

  var address: String { "http://127.0.0.1:\(server.port)/\(token)/" }

  /// Serves until a stop is asked for. The output follows the log within a second or so.
  func run() throws {
    var saved = ContinuousClock.now
    try server.run(
      while: {
        if saved.duration(to: .now) > .seconds(1) {
          try session.save()
          saved = .now
        }
        return !Interrupt.requested
      }, handle: respond)
    try session.save()
  }

  private func respond(_ request: WebRequest) throws -> WebResponse {
    let parts = request.path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).dropFirst()
    let path = parts.first?.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false) ?? []
    guard path.count == 2, isToken(path[0]) else {
      return .failure(404, "Nothing is here. Open the address that dpo label printed, to its last character.")
    }
    switch (request.method, path[1]) {
    case ("GET", ""), ("HEAD", ""): return WebResponse(type: "text/html; charset=utf-8", body: LabelPage.html)
    case ("GET", "page.css"): return WebResponse(type: "text/css; charset=utf-8", body: LabelPage.style)
    case ("GET", "page.js"): return WebResponse(type: "text/javascript; charset=utf-8", body: LabelPage.script)
    case ("GET", "text.js"): return WebResponse(type: "text/javascript; charset=utf-8", body: LabelPage.textScript)
    case ("GET", "state"): return state(.done)
    case ("POST", "answer"), ("POST", "undo"):
      do {
        let asked = try JSON.parse(request.body, file: "the request")
        return state(try path[1] == "undo" ? undo(asked) : answer(asked))
      } catch let error as DPOError {
        return .failure(error.code == .io ? 500 : 400, error.message)
      }
    default: return .failure(405, "This cannot be asked here.")
    }
  }

  /// In a time that does not tell how much of it is right.
  private func isToken(_ found: Substring) -> Bool {
    guard found.utf8.count == token.utf8.count else { return false }
    return zip(found.utf8, token.utf8).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }

  private func answer(_ asked: JSON) throws -> LabelSession.Outcome {
    guard let question = asked["question"]?.string, let name = asked["verdict"]?.string,
      let revision = asked["revision"]?.int
    else { throw DPOError.argument("expected \"question\", \"verdict\" and \"revision\"") }
    var judgement = Judgement(.skip, comment: asked["comment"]?.string ?? "")
    switch name {
    // What was on the left or the right, and where each answer stood, is known here.
    case "left", "right":
      guard let current = session.current, current.id == question else { return .outdated }
      judgement.verdict = (current.shown.first == current.shown.min()) == (name == "left") ? .first : .second
    case "ranked":
      guard let current = session.current, current.id == question else { return .outdated }
      let ranks = asked["ranks"]?.array?.compactMap(\.int) ?? []
      guard ranks.count == current.shown.count, ranks.count == asked["ranks"]?.array?.count else {
        throw DPOError.argument("expected \"ranks\", a number for each of the \(current.shown.count) answers")
      }
      judgement.verdict = .ranked
      judgement.ranks = [Int?](repeating: nil, count: current.row.completions.count)
      for (index, rank) in zip(current.shown, ranks) { judgement.ranks[index] = rank }
    default:
      guard let found = Verdict(rawValue: name), found != .first, found != .second else {
        throw DPOError.argument("\"\(DPOError.printable(name))\" is no verdict")
      }
      judgement.verdict = found
    }
    return try session.answer(question, judgement, revision: revision)
  }

  /// The other way: a judgement in the words of the page.
  private func shown(_ last: (question: LabelSession.Question, judgement: Judgement)) -> JSON {
    let (question, judgement) = last
    let isFirstOnTheLeft = question.shown.first == question.shown.min()
    let verdict =
      switch judgement.verdict {
      case .first: isFirstOnTheLeft ? "left" : "right"
      case .second: isFirstOnTheLeft ? "right" : "left"
      default: judgement.verdict.rawValue
      }
    return [
      "verdict": .string(verdict), "comment": .string(judgement.comment),
      "ranks": .array(
        judgement.verdict == .ranked ? question.shown.map { judgement.ranks[$0].map(JSON.int) ?? .null } : []),
    ]
  }

  private func undo(_ asked: JSON) throws -> LabelSession.Outcome {
    guard let revision = asked["revision"]?.int else { throw DPOError.argument("expected \"revision\"") }
    return try session.undo(revision: revision)
  }

  private func state(_ outcome: LabelSession.Outcome) -> WebResponse {
    var counts = JSONObject()
    for (verdict, count) in session.counts().sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      counts[verdict.rawValue] = .int(count)
    }
    let state: JSON = [
      "mode": .string(session.mode.rawValue), "annotator": .string(session.annotator),
      "revision": .int(session.revision), "done": .int(session.done), "total": .int(session.total),
      "postponed": .int(session.postponed), "last": session.last.map(shown) ?? .null, "counts": .object(counts),
      "output": .string(nameOf(session.output)),
      "agreements": .array(session.agreements().map(describe)),
      "question": session.current.map { question in
        [
          "id": .string(question.id), "prompt": parts(question.row.prompt),
          "again": .bool(session.isAskedAgain),
          "answers": .array(question.shown.map { parts(question.row.completions[$0]) }),
        ]
      } ?? .null,
    ]
    return WebResponse(
      status: outcome == .done ? 200 : 409, type: "application/json", body: state.description)
  }

  /// Text with who says it, where that is known.
  private func parts(_ content: Content) -> JSON {
    switch content {
    case .text(let text): [["role": "", "text": .string(text)]]
    case .chat(let messages):
      .array(messages.map { ["role": .string($0.role.rawValue), "text": .string($0.content)] })
    }
  }
}

/// A line of a table of agreements.
func describe(_ entry: (annotator: String, agreement: Agreement)) -> JSON {
  [
    "annotator": .string(entry.annotator), "count": .int(entry.agreement.count),
    "observed": .real(entry.agreement.observed), "kappa": entry.agreement.kappa.map(JSON.real) ?? .null,
  ]
}
