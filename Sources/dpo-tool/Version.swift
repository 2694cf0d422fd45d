import ArgumentParser
import DPO

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the version and what this machine offers.")
  static let text = "dpo \(DPOVersion.string)"

  @Flag(help: "Also the engines of this build, which of them run here, and why this one is used.")
  var verbose = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func run() throws {
    let threads = ThreadTeam.availableProcessors
    if json {
      printJSON([
        "version": .string(DPOVersion.string), "threads": .int(threads), "engine": .string(Engine.best.name),
        "engine_reason": .string(DPOVersion.engineReason),
        "engines": .array(
          Engine.names.map { name in
            .object([
              "name": .string(name), "needs": .string(Engine.needs(name)),
              "runs_here": .bool((try? Engine(named: name)) != nil),
            ])
          }),
      ])
    } else {
      print("\(Version.text)\nengine: \(Engine.best.name), \(threads) threads")
      guard verbose else { return }
      for name in Engine.names {
        let padded = name + String(repeating: " ", count: max(0, 10 - name.count))
        let state = (try? Engine(named: name)) == nil ? "not here" : name == Engine.best.name ? "used" : "with --engine"
        print("  \(padded)\(state); needs \(Engine.needs(name))")
      }
      print(DPOVersion.engineReason)
    }
  }
}
