// Writes checkpoint after checkpoint to one path until it is killed: the other half of CrashTests.
//
// Usage: checkpoint-loop PATH ELEMENTS FIRST-STEP [MAXIMUM-FILE-SIZE]
// All numbers of a checkpoint are its step. With a maximum, a failed write is reported and ends the loop.

import DPOBase
import DPOModel
import DPOStorage
import DPOPlatform

let arguments = CommandLine.arguments
guard arguments.count >= 4, let elements = Int(arguments[2]), var step = Int(arguments[3]) else { exit(2) }
if arguments.count > 4, let maximum = rlim_t(arguments[4]) {
  var limit = rlimit(rlim_cur: maximum, rlim_max: maximum)
  setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
}
do {
  let values = try FloatBuffer(count: elements)
  while true {
    for index in 0..<elements { values.pointer[index] = Float(step) }
    try CheckpointWriter.write(
      path: arguments[1],
      header: CheckpointHeader(
        kind: .checkpoint, configuration: [:], provenance: [:], trainer: ["step": .int(step)]),
      sections: ["/model", "/optimizer/exp_avg"].map { group in
        CheckpointSection(
          group: group, entries: [.init(name: "w", shape: [elements], numbers: .float32(values.pointer))])
      })
    step += 1
  }
} catch {
  let message = Array("\(error)\n".utf8)
  _ = write(2, message, message.count)
  exit(1)
}
