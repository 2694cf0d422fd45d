import Glibc

/// Bytes of memory that this process can still take: what the system reports as available, within its control group.
package func availableMemory() -> Int {
  var available = Int.max
  if let text = try? readSystemText("/proc/meminfo"),
    let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }),
    let kib = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
  {
    available = kib << 10
  }
  if let limit = (try? readSystemText("/sys/fs/cgroup/memory.max")).flatMap({ Int($0.prefix { $0 != "\n" }) }),
    let used = (try? readSystemText("/sys/fs/cgroup/memory.current")).flatMap({ Int($0.prefix { $0 != "\n" }) })
  {
    available = min(available, limit - used)
  }
  return available
}

private func readSystemText(_ path: String) throws -> String {
  guard let file = fopen(path, "r") else { throw DPOError(.io, "\(path): cannot open") }
  defer { fclose(file) }
  var buffer = [UInt8](repeating: 0, count: 16384)
  let count = fread(&buffer, 1, buffer.count, file)
  return String(decoding: buffer[..<count], as: UTF8.self)
}
