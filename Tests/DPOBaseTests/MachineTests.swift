import DPOBase
import DPOPlatform
import Testing

/// A made-up /proc and /sys.
private final class Tree {
  let root: String

  init(_ files: [String: String]) throws {
    var name = Array("/tmp/dpo-machine-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
    #expect(mkdtemp(&name) != nil)
    root = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for (path, text) in files {
      try makeDirectories(root + directoryOf(path))
      try writeFile(root + path, text)
    }
  }

  deinit { try? removeTree(root) }

  // The files must outlive what is read of them.
  var processorQuota: Int? { withExtendedLifetime(self) { Machine(root: root).processorQuota } }
  var availableMemory: Int { withExtendedLifetime(self) { Machine(root: root).availableMemory } }
}

private let unified = "40 30 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
private let mebibyte = 1 << 20

@Test func withoutControlGroupsTheSystemsNumbersCount() throws {
  let tree = try Tree(["/proc/meminfo": "MemTotal:       2048 kB\nMemAvailable:   1024 kB\n"])
  #expect(tree.processorQuota == nil)
  #expect(tree.availableMemory == mebibyte)
  #expect(try Tree([:]).availableMemory == .max)
}

@Test func theQuotaOfEachGroupOnTheWayUpCounts() throws {
  let files = [
    "/proc/self/cgroup": "0::/a.slice/b.scope\n", "/proc/self/mountinfo": unified,
    "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "max 100000\n",
  ]
  func quota(_ more: [String: String]) throws -> Int? {
    try Tree(files.merging(more) { $1 }).processorQuota
  }
  #expect(try quota([:]) == nil)
  #expect(try quota(["/sys/fs/cgroup/a.slice/cpu.max": "150000 100000\n"]) == 2)
  #expect(try quota(["/sys/fs/cgroup/a.slice/cpu.max": "200000 100000\n"]) == 2)
  #expect(try quota(["/sys/fs/cgroup/cpu.max": "300000 100000\n"]) == 3)
  #expect(
    try quota([
      "/sys/fs/cgroup/a.slice/cpu.max": "150000 100000\n", "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "1000 100000\n",
    ]) == 1)
  #expect(try quota(["/sys/fs/cgroup/a.slice/cpu.max": "nonsense\n"]) == nil)
}

@Test func theQuotaOfVersion1IsReadFromItsOwnHierarchy() throws {
  let mounts = """
    31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
    33 31 0:30 / /sys/fs/cgroup/cpuset rw shared:10 - cgroup cgroup rw,cpuset

    """
  let groups = "5:cpuset:/\n4:cpu,cpuacct:/box\n0::/\n"
  let period = "/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us"
  let limit = "/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us"
  func quota(_ microseconds: Int) throws -> Int? {
    try Tree([
      "/proc/self/cgroup": groups, "/proc/self/mountinfo": mounts, period: "50000\n", limit: "\(microseconds)\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n", "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    ]).processorQuota
  }
  #expect(try quota(-1) == nil)
  #expect(try quota(100_000) == 2)
  #expect(try quota(100_001) == 3)
}

/// A container sees its own group as the root of the mount, under the name that it has outside or none at all.
@Test(arguments: [
  ("/docker/abc", "/docker/abc"), ("/docker/abc", "/docker/abc/"), ("/", "/"), ("/docker/abc", "/"),
  ("/", "/../../docker/abc"),
])
func aContainerFindsItsGroupAtTheMount(_ root: String, _ group: String) throws {
  let mount = #"40 30 0:28 \#(root) /sys/fs/control\040groups ro - cgroup cgroup rw,memory,cpu"#
  let tree = try Tree([
    "/proc/self/cgroup": "4:memory,cpu:\(group)\n", "/proc/self/mountinfo": mount + "\n",
    "/sys/fs/control groups/memory.limit_in_bytes": "\(64 * mebibyte)\n",
    "/sys/fs/control groups/memory.usage_in_bytes": "\(16 * mebibyte)\n",
    "/sys/fs/control groups/cpu.cfs_quota_us": "250000\n", "/sys/fs/control groups/cpu.cfs_period_us": "100000\n",
  ])
  #expect(tree.availableMemory == 48 * mebibyte)
  #expect(tree.processorQuota == 3)
}

@Test func theGroupWithTheLeastMemoryLeftCounts() throws {
  let tree = try Tree([
    "/proc/self/cgroup": "0::/a/b\n", "/proc/self/mountinfo": unified,
    "/proc/meminfo": "MemAvailable: 1048576 kB\n",
    "/sys/fs/cgroup/a/memory.max": "\(100 * mebibyte)\n", "/sys/fs/cgroup/a/memory.current": "\(90 * mebibyte)\n",
    "/sys/fs/cgroup/a/b/memory.max": "\(50 * mebibyte)\n", "/sys/fs/cgroup/a/b/memory.current": "\(20 * mebibyte)\n",
  ])
  #expect(tree.availableMemory == 10 * mebibyte)
}

@Test func thePageCacheOfAGroupIsAvailable() throws {
  func left(max: String, high: String = "max", used: Int, statistics: String) throws -> Int {
    try Tree([
      "/proc/self/cgroup": "0::/a\n", "/proc/self/mountinfo": unified,
      "/sys/fs/cgroup/a/memory.max": max + "\n", "/sys/fs/cgroup/a/memory.high": high + "\n",
      "/sys/fs/cgroup/a/memory.current": "\(used)\n", "/sys/fs/cgroup/a/memory.stat": statistics,
    ]).availableMemory
  }
  let limit = String(100 * mebibyte)
  let cache = "anon 1\nfile \(95 * mebibyte)\ninactive_file \(60 * mebibyte)\nactive_file \(30 * mebibyte)\n"
  #expect(try left(max: limit, used: 98 * mebibyte, statistics: "") == 2 * mebibyte)
  #expect(try left(max: limit, used: 98 * mebibyte, statistics: cache) == 92 * mebibyte)
  #expect(try left(max: limit, high: String(80 * mebibyte), used: 98 * mebibyte, statistics: cache) == 72 * mebibyte)
  #expect(try left(max: limit, used: 200 * mebibyte, statistics: cache) == 0)
  #expect(try left(max: limit, used: 20 * mebibyte, statistics: cache) == 100 * mebibyte)
  #expect(try left(max: "max", used: 98 * mebibyte, statistics: cache) > 1 << 60)
}

@Test func thePageCacheOfAGroupOfVersion1IsAvailable() throws {
  let tree = try Tree([
    "/proc/self/cgroup": "9:memory:/a\n1:cpu:/\n",
    "/proc/self/mountinfo": "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": "\(900 * mebibyte)\n",
    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "\(100 * mebibyte)\n",
    "/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "\(99 * mebibyte)\n",
    "/sys/fs/cgroup/memory/a/memory.stat":
      "inactive_file 0\nactive_file 0\ntotal_inactive_file \(50 * mebibyte)\ntotal_active_file \(20 * mebibyte)\n",
  ])
  #expect(tree.availableMemory == 71 * mebibyte)
}

@Test func thisMachineHasProcessorsAndMemory() {
  #expect(Machine.processors >= 1)
  #expect(Machine.availableMemory > mebibyte)
}
