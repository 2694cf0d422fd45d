import CKernels
import DPOPlatform

/// What the system grants this process. A container's limits stand in control groups, of version 1 or 2: the process's own
/// group and every group around it counts, as far as they can be seen from here.
package struct Machine {
  /// Where the system's files lie: "" for /proc and /sys themselves.
  private let root: String

  package init(root: String = "") { self.root = root }

  /// Processors that this process can keep busy: those it may run on, within the time that its control groups grant.
  package static var processors: Int {
    let allowed = Int(ck_processors())
    return Machine().processorQuota.map { min(allowed, $0) } ?? allowed
  }

  /// The name by which this machine is known to others.
  package static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A bit for each processor that this process may run on; all alike where the system does not tell.
  package static var processorMask: [UInt8] {
    var mask = [UInt8](repeating: 0, count: 1024)
    ck_processor_mask(&mask, mask.count)
    return mask
  }

  /// What lists and tables of a call may take beside its large buffers.
  private static let roomForTables = 64 << 20

  /// Refuses what would leave too little address space for tables. Their memory cannot be refused where it is taken: without
  /// room the process ends.
  ///
  /// - Parameter bytes: what is to be taken, or is known of the tables.
  /// - Throws: `.memory`
  package static func requireRoom(for bytes: Int = 0) throws {
    let (needed, overflow) = max(0, bytes).addingReportingOverflow(roomForTables)
    guard !overflow, let base = mmap(nil, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      base != MAP_FAILED
    else {
      throw DPOError(.memory, "\(needed >> 20) MiB of address space are needed here, and the process may not have them")
    }
    munmap(base, needed)
  }

  /// The same before memory is taken whose size other things decide: what is small is not asked about.
  package static func requireRoom(ifLarge bytes: Int) throws {
    if bytes >= 4 << 20 { try requireRoom(for: bytes) }
  }

  /// The local clock's date and time: seconds since 1970-01-01 00:00 by that clock.
  package static var localTime: Int {
    var seconds = time(nil)
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { return seconds }
    return timegm(&parts)
  }

  /// Bytes of memory that this process can still take.
  package static var availableMemory: Int { Machine().availableMemory }

  /// The smallest CPU quota, in whole processors: a part of one counts as one. nil without a quota.
  package var processorQuota: Int? {
    var smallest: Double?
    for group in groups(of: "cpu") {
      let limit =
        group.isUnified
        ? numbers(group.path + "/cpu.max")
        : numbers(group.path + "/cpu.cfs_quota_us") + numbers(group.path + "/cpu.cfs_period_us")
      guard limit.count == 2, limit[0] > 0, limit[0] < .max, limit[1] > 0 else { continue }
      smallest = min(smallest ?? .infinity, Double(limit[0]) / Double(limit[1]))
    }
    return smallest.map { max(1, Int(min($0, 1e6).rounded(.up))) }
  }

  /// What the system reports as available and each control group has left. The page cache is counted as available in both:
  /// it gives way to whoever needs memory.
  package var availableMemory: Int {
    let system = values("/proc/meminfo")["MemAvailable:"].map { $0.multipliedReportingOverflow(by: 1024).partialValue }
    var available = system ?? .max
    for group in groups(of: "memory") {
      let files = group.isUnified ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"]
      guard let limit = files.compactMap({ numbers("\(group.path)/\($0)").first }).min(),
        let used = numbers(group.path + (group.isUnified ? "/memory.current" : "/memory.usage_in_bytes")).first
      else { continue }
      let statistics = values(group.path + "/memory.stat")
      // Of version 1, "total_" is what includes the groups inside, as the usage does.
      let prefix = group.isUnified ? "" : "total_"
      let cache = ["inactive_file", "active_file"].reduce(0) { $0 &+ (statistics[prefix + $1] ?? 0) }
      available = min(available, max(0, limit &- max(0, used &- max(0, cache))))
    }
    return available
  }

  // MARK: Control groups

  private struct Group {
    let path: String
    let isUnified: Bool
  }

  /// The process's own groups of a controller and those around them, innermost first, up to the roots that are mounted here.
  private func groups(of controller: String) -> [Group] {
    let mounts = lines("/proc/self/mountinfo").compactMap { Mount($0) }
    var groups: [Group] = []
    for line in lines("/proc/self/cgroup") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[0] == "0" && fields[1].isEmpty
      guard isUnified || fields[1].split(separator: ",").contains(Substring(controller)) else { continue }
      for mount in mounts where isUnified ? mount.isUnified : mount.controllers.contains(Substring(controller)) {
        var path = mount.place(of: String(fields[2]))
        while true {
          groups.append(Group(path: path, isUnified: isUnified))
          guard path.utf8.count > mount.point.utf8.count else { break }
          path = directoryOf(path)
        }
      }
    }
    return groups
  }

  /// A line of mountinfo that shows control groups: "31 23 0:28 /root /point rw - cgroup source rw,memory".
  private struct Mount {
    let root, point: String
    let isUnified: Bool
    let controllers: [Substring]

    init?(_ line: Substring) {
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 5, fields.count > dash + 3 else { return nil }
      guard fields[dash + 1] == "cgroup" || fields[dash + 1] == "cgroup2" else { return nil }
      (root, point) = (Mount.unescaped(fields[3]), Mount.unescaped(fields[4]))
      isUnified = fields[dash + 1] == "cgroup2"
      controllers = isUnified ? [] : fields[dash + 3].split(separator: ",")
    }

    /// The directory of a group. Where the mount shows another part of the tree than the one in which the group is named, as
    /// in some containers, its root is the closest that can be seen.
    func place(of group: String) -> String {
      let parts = group.split(separator: "/")
      let above = root.split(separator: "/")
      guard parts.starts(with: above), !parts.contains("..") else { return point }
      return parts.dropFirst(above.count).reduce(point == "/" ? "" : point) { "\($0)/\($1)" }
    }

    /// Blanks and the like are written as a backslash and three octal digits.
    private static func unescaped(_ text: Substring) -> String {
      var bytes: [UInt8] = []
      var rest = Array(text.utf8)[...]
      while let byte = rest.popFirst() {
        let digits = String(decoding: rest.prefix(3), as: UTF8.self)
        if byte == UInt8(ascii: "\\"), digits.utf8.count == 3, let code = UInt8(digits, radix: 8) {
          bytes.append(code)
          rest = rest.dropFirst(3)
        } else {
          bytes.append(byte)
        }
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  // MARK: Files

  /// The lines of a file of the system; none if it cannot be read. Such files have no size before they are read.
  private func lines(_ path: String) -> [Substring] {
    guard let file = fopen(root + path, "re") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while bytes.count < 4 << 20 {
      let count = fread(&buffer, 1, buffer.count, file)
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
  }

  /// The numbers of a file's first line; "max" is the largest there is.
  private func numbers(_ path: String) -> [Int] {
    (lines(path).first ?? "").split(separator: " ").compactMap { $0 == "max" ? .max : Int($0) }
  }

  /// Numbers by the names before them.
  private func values(_ path: String) -> [Substring: Int] {
    var values: [Substring: Int] = [:]
    for line in lines(path) {
      let fields = line.split(separator: " ")
      if fields.count >= 2, let value = Int(fields[1]) { values[fields[0]] = value }
    }
    return values
  }
}
