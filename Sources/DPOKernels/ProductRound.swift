import CKernels

/// Memory in which a team's products pack their operands: one part for the operands that all threads read, and one a
/// thread for the block that it works on. Products that need more are done in several rounds.
package struct PackingMemory {
  /// Numbers of the shared part.
  package static let sharedCount = 16 << 20
  /// Numbers of one thread's block, packed and, behind it, decoded.
  package static let blockCount = 1 << 20

  private let buffer: FloatBuffer

  init(threads: Int) throws {
    buffer = try FloatBuffer(count: PackingMemory.sharedCount + threads * 2 * PackingMemory.blockCount)
  }

  package var shared: UnsafeMutablePointer<Float> { buffer.pointer }
  package func block(_ member: Int) -> UnsafeMutablePointer<Float> {
    buffer.pointer + PackingMemory.sharedCount + member * 2 * PackingMemory.blockCount
  }
  package func decoded(_ member: Int) -> UnsafeMutablePointer<Float> { block(member) + PackingMemory.blockCount }
}

extension ThreadTeam {
  /// Whether products run on packed panels (AVX-512) rather than through OpenBLAS.
  package static func packs(_ precision: Precision) -> Bool { ck_gemm_available(precision.packed) != 0 }

  /// Computes independent products together, each sum in an order that does not depend on the number of threads.
  /// `keeping`: a prepared operand that a later product reads.
  package func multiply(
    _ name: StaticString, _ precision: Precision = .fp32, keeping kept: PreparedOperand? = nil, _ products: [Product]
  ) {
    measured(
      name, operations: products.reduce(0) { $0 + $1.operations }, bytes: products.reduce(0) { $0 + $1.bytes }
    ) {
      let reserved = products.lazy.flatMap(\.terms).map(\.reserved).reduce(kept?.reserved ?? 0, max)
      var round = ProductRound(precision, threads: threads, reserved: reserved)
      for product in products.lazy.flatMap(\.parts) where product.m > 0 && product.n > 0 {
        var isFirst = true
        for term in product.terms {
          let most = ProductRound.mostK(product, term)
          for start in stride(from: 0, to: term.k, by: most) {
            let piece = ProductRound.Piece(
              product, term, start..<min(term.k, start + most), accumulates: product.accumulates || !isFirst)
            if !round.add(piece, continues: !isFirst) {
              run(round)
              round = ProductRound(precision, threads: threads, reserved: reserved)
              _ = round.add(piece, continues: false)
            }
            isFirst = false
          }
        }
      }
      run(round)
    }
  }

  private func run(_ round: ProductRound) {
    if round.isPacked { run(round.packTasks.count) { index, _ in round.pack(round.packTasks[index], packing) } }
    run(round.tasks.count) { index, member in round.compute(round.tasks[index], packing, member) }
  }
}

extension Product {
  /// Most rows of A that one product shares: 256 numbers of each, whole blocks of any encoding, fit the packing memory.
  fileprivate static let mostSharedRows = 8192

  /// The product, cut along its rows where they are too many.
  fileprivate var parts: [Product] {
    guard shared == .a, m > Product.mostSharedRows else { return [self] }
    return stride(from: 0, to: m, by: Product.mostSharedRows).map { first in
      Product(
        min(Product.mostSharedRows, m - first), n, into: c + first * ldc, ldc, accumulates: accumulates,
        terms.map { Term($0.a.dropping(first), $0.b, k: $0.k, alpha: $0.alpha) })
    }
  }
}

extension Operand {
  /// The rows from `first` on.
  fileprivate func dropping(_ first: Int) -> Operand {
    guard case .floats(let x, let distance) = storage else { return self }
    return Operand(
      storage: .floats(x + (isTransposed ? first : first * distance), distance: distance), isTransposed: isTransposed)
  }
}

/// An operand that is packed as it is made, a few rows at a time while they are in cache, instead of by the product that
/// reads it. It stands at the start of the team's shared packing memory until another product packs operands of its own.
package struct PreparedOperand {
  let rows, k: Int
  let precision: Precision
  let sharesA: Bool
  let memory: PackingMemory

  /// Numbers of the shared memory that it takes.
  var reserved: Int { (ck_gemm_packed(precision.packed, rows, k, ProductRound.width(a: sharesA)) + 15) / 16 * 16 }

  /// Rows `rows` of the left side, which stand at `x` on; their first one begins a panel.
  package func packRows(_ x: UnsafePointer<Float>, _ distance: Int, _ rows: Range<Int>) {
    let width = ProductRound.width(a: sharesA)
    ck_gemm_pack(
      precision.packed, x, distance, 0, 1, rows.count, 0, k, k, width,
      memory.shared + ck_gemm_packed(precision.packed, rows.lowerBound, k, width))
  }

  /// Numbers `part` of k of every row: rows `part` of a matrix whose columns are the side's rows. The first one is even.
  package func packColumns(_ x: UnsafePointer<Float>, _ distance: Int, _ part: Range<Int>) {
    ck_gemm_pack(
      precision.packed, x, distance, 1, 1, rows, part.lowerBound, part.upperBound, k, ProductRound.width(a: sharesA),
      memory.shared)
  }
}

extension ThreadTeam {
  /// Room for the shared side of a product with `others`; nil if products do not run on panels or it does not fit.
  package func prepare(
    _ precision: Precision, rows: Int, k: Int, as side: Product.Shared, with others: [Operand]
  ) -> PreparedOperand? {
    guard ThreadTeam.packs(precision), rows > 0, side == .b || rows <= Product.mostSharedRows else { return nil }
    let operand = PreparedOperand(rows: rows, k: k, precision: precision, sharesA: side == .a, memory: packing)
    let block = others.map { ProductRound.blockRows(sharesA: side == .a, $0) }.max() ?? 0
    let room = ck_gemm_packed(CK_GEMM_F32, block, k, ProductRound.width(a: side == .b))
    return room <= PackingMemory.blockCount && operand.reserved <= PackingMemory.sharedCount / 2 ? operand : nil
  }
}

extension Product.Term {
  /// Numbers of the shared memory that a prepared side takes.
  fileprivate var reserved: Int {
    for operand in [a, b] {
      if case .prepared(let prepared, _) = operand.storage { return prepared.reserved }
    }
    return 0
  }
}

/// Products whose shared operands fit the packing memory at once.
struct ProductRound {
  /// Some numbers of k of one term.
  struct Piece {
    let product: Product
    let term: Product.Term
    let k: Range<Int>
    let accumulates: Bool
    /// Where the shared operand is packed.
    fileprivate(set) var offset = 0

    init(_ product: Product, _ term: Product.Term, _ k: Range<Int>, accumulates: Bool) {
      self.product = product
      self.term = term
      self.k = k
      self.accumulates = accumulates
    }

    var sharesA: Bool { product.shared == .a }
    var sharedRows: Int { sharesA ? product.m : product.n }
    var sharedWidth: Int { ProductRound.width(a: sharesA) }
    var sharedOperand: Operand { sharesA ? term.a : term.b }
    var ownRows: Int { sharesA ? product.n : product.m }
    var ownWidth: Int { ProductRound.width(a: !sharesA) }
    var ownOperand: Operand { sharesA ? term.b : term.a }
  }

  struct PackTask {
    let piece: Int
    let rows, k: Range<Int>
  }

  /// A tile of C, for consecutive pieces of one product: rows of the operand that is not shared, and of the shared one.
  struct Task {
    var pieces: Range<Int>
    let rows, sharedRows: Range<Int>
  }

  /// Tasks a thread at least, where the product is large enough. How it is cut changes no sum.
  private static let leastTasks = 6

  /// What is packed already.
  private struct Packed: Equatable {
    let address: UnsafePointer<Float>
    let distance: Int
    let isTransposed: Bool
    let k: Range<Int>
    let rows, width: Int
    let offset: Int
  }

  let precision: Precision
  let threads: Int
  let isPacked: Bool
  private(set) var pieces: [Piece] = []
  private(set) var packTasks: [PackTask] = []
  private(set) var tasks: [Task] = []
  private var packed: [Packed] = []
  private var used: Int
  private var firstTask = 0

  /// `reserved`: numbers of the shared memory that hold a prepared operand.
  init(_ precision: Precision, threads: Int, reserved: Int) {
    self.precision = precision
    self.threads = threads
    used = reserved
    isPacked = ThreadTeam.packs(precision)
  }

  fileprivate static func width(a: Bool) -> Int { Int(a ? CK_GEMM_M : CK_GEMM_N) }

  /// Rows that are not cut any further: whole panels, and whole blocks of encoded weights.
  private static func unitRows(sharesA: Bool, _ own: Operand) -> Int {
    let rows = sharesA ? width(a: false) : 2 * width(a: true)
    return (rows + own.granularity - 1) / own.granularity * own.granularity
  }

  /// Units of a task at most: for each block of them the shared operand is read once.
  private static func mostUnits(sharesA: Bool, _ own: Operand) -> Int {
    max(1, 96 / unitRows(sharesA: sharesA, own))
  }

  /// Rows of a task at most.
  fileprivate static func blockRows(sharesA: Bool, _ own: Operand) -> Int {
    mostUnits(sharesA: sharesA, own) * unitRows(sharesA: sharesA, own)
  }

  /// Numbers of k that fit a round.
  static func mostK(_ product: Product, _ term: Product.Term) -> Int {
    let sharesA = product.shared == .a
    // Panels of A take more than their rows.
    let shared = ((sharesA ? product.m : product.n) + width(a: false)) * 16 / 14
    let own = blockRows(sharesA: sharesA, sharesA ? term.b : term.a)
    if case .prepared = (sharesA ? term.a : term.b).storage { return max(1, term.k) }
    // Whole blocks of every encoding; at least 2, which a slot of bf16 holds.
    let most = min(PackingMemory.sharedCount / shared, PackingMemory.blockCount / own)
    return most >= 256 ? most / 256 * 256 : max(2, most / 2 * 2)
  }

  /// false: the round is full.
  mutating func add(_ piece: Piece, continues: Bool) -> Bool {
    var piece = piece
    if isPacked {
      guard let offset = place(piece) else { return false }
      piece.offset = offset
    }
    pieces.append(piece)
    if continues && firstTask < tasks.count {
      for index in firstTask..<tasks.count { tasks[index].pieces = tasks[index].pieces.lowerBound..<pieces.count }
    } else {
      firstTask = tasks.count
      let unit = ProductRound.unitRows(sharesA: piece.sharesA, piece.ownOperand)
      let units = (piece.ownRows + unit - 1) / unit
      let parts = max(1, (ProductRound.leastTasks * threads + units - 1) / units)
      let width = piece.sharedWidth
      let part = ((piece.sharedRows + parts - 1) / parts + width - 1) / width * width
      let most = ProductRound.mostUnits(sharesA: piece.sharesA, piece.ownOperand)
      // Large tasks first, small ones at the end, so that all threads end together.
      var done = 0
      while done < units {
        let taken = max(1, min(most, (units - done) / (2 * threads)))
        for first in stride(from: 0, to: piece.sharedRows, by: part) {
          tasks.append(
            Task(
              pieces: pieces.count - 1..<pieces.count,
              rows: done * unit..<min(piece.ownRows, (done + taken) * unit),
              sharedRows: first..<min(piece.sharedRows, first + part)))
        }
        done += taken
      }
    }
    return true
  }

  /// Where the shared operand of a piece is or will be packed; nil without room.
  private mutating func place(_ piece: Piece) -> Int? {
    guard case .floats(let address, let distance) = piece.sharedOperand.storage else { return 0 }
    func entry(_ offset: Int) -> Packed {
      Packed(
        address: address, distance: distance, isTransposed: piece.sharedOperand.isTransposed, k: piece.k,
        rows: piece.sharedRows, width: piece.sharedWidth, offset: offset)
    }
    for known in packed where known == entry(known.offset) { return known.offset }
    let size = ck_gemm_packed(precision.packed, piece.sharedRows, piece.k.count, piece.sharedWidth)
    guard used + size <= PackingMemory.sharedCount else { return nil }
    packed.append(entry(used))
    // Rows are packed a few panels at a time; columns in blocks of k, so that the matrix is read row by row.
    let panels = 4 * piece.sharedWidth
    for start in stride(from: 0, to: piece.sharedOperand.isTransposed ? piece.k.count : piece.sharedRows, by: panels) {
      let part = start..<start + panels
      packTasks.append(
        piece.sharedOperand.isTransposed
          ? PackTask(piece: pieces.count, rows: 0..<piece.sharedRows, k: part.clamped(to: 0..<piece.k.count))
          : PackTask(piece: pieces.count, rows: part.clamped(to: 0..<piece.sharedRows), k: 0..<piece.k.count))
    }
    used += (size + 15) / 16 * 16
    return packed.last?.offset
  }

  func pack(_ task: PackTask, _ memory: PackingMemory) {
    let piece = pieces[task.piece]
    guard case .floats(let x, let distance) = piece.sharedOperand.storage else { return }
    let (row, k) = (task.rows.lowerBound, piece.k.lowerBound + task.k.lowerBound)
    let isTransposed = piece.sharedOperand.isTransposed
    ck_gemm_pack(
      precision.packed, x + (isTransposed ? k * distance + row : row * distance + k), distance, isTransposed ? 1 : 0,
      1, task.rows.count, task.k.lowerBound, task.k.upperBound, piece.k.count, piece.sharedWidth,
      memory.shared + piece.offset + ck_gemm_packed(precision.packed, row, piece.k.count, piece.sharedWidth))
  }

  func compute(_ task: Task, _ memory: PackingMemory, _ member: Int) {
    for index in task.pieces {
      let piece = pieces[index]
      let product = piece.product
      let (rows, columns) = piece.sharesA ? (task.sharedRows, task.rows) : (task.rows, task.sharedRows)
      let c = product.c + rows.lowerBound * product.ldc + columns.lowerBound
      if isPacked {
        packOwn(piece, task.rows, memory, member)
        let own = (x: UnsafePointer(memory.block(member)), slots: ck_gemm_slots(precision.packed, piece.k.count))
        let shared = shared(piece, task.sharedRows.lowerBound, memory)
        let (a, b) = piece.sharesA ? (shared, own) : (own, shared)
        ck_gemm_multiply(
          precision.packed, a.x, a.slots, b.x, b.slots, rows.count, columns.count, piece.k.count, c, product.ldc,
          piece.accumulates ? 1 : 0)
      } else if case .floats(let x, let sharedDistance) = piece.sharedOperand.storage {
        let (own, distance) = natural(piece, task.rows, memory.decoded(member))
        let isTransposed = piece.sharedOperand.isTransposed
        let (row, k) = (task.sharedRows.lowerBound, piece.k.lowerBound)
        let shared = x + (isTransposed ? k * sharedDistance + row : row * sharedDistance + k)
        let a = piece.sharesA ? (shared, sharedDistance) : (own, distance)
        let b = piece.sharesA ? (own, distance) : (shared, sharedDistance)
        gemm(
          piece.term.a.isTransposed, !piece.term.b.isTransposed, rows.count, columns.count, piece.k.count,
          piece.term.alpha, a.0, a.1, b.0, b.1, piece.accumulates ? 1 : 0, c, product.ldc)
      }
    }
  }

  /// The panels of the shared operand from a row on that begins one, and their distance.
  private func shared(_ piece: Piece, _ row: Int, _ memory: PackingMemory) -> (x: UnsafePointer<Float>, slots: Int) {
    let (width, packed) = (piece.sharedWidth, precision.packed)
    if case .prepared(let operand, let k) = piece.sharedOperand.storage {
      let offset = ck_gemm_packed(packed, row, operand.k, width) + ck_gemm_packed(packed, 1, k, width)
      return (UnsafePointer(memory.shared + offset), ck_gemm_slots(packed, operand.k))
    }
    let offset = piece.offset + ck_gemm_packed(packed, row, piece.k.count, width)
    return (UnsafePointer(memory.shared + offset), ck_gemm_slots(packed, piece.k.count))
  }

  /// Packs some rows of the operand that is not shared.
  private func packOwn(_ piece: Piece, _ rows: Range<Int>, _ memory: PackingMemory, _ member: Int) {
    let (k, width, isTransposed) = (piece.k, piece.ownWidth, piece.ownOperand.isTransposed)
    func pack(_ x: UnsafePointer<Float>, _ distance: Int, _ some: Range<Int>, _ part: Range<Int>) {
      let offset = ck_gemm_packed(precision.packed, some.lowerBound - rows.lowerBound, k.count, width)
      ck_gemm_pack(
        precision.packed, x, distance, isTransposed ? 1 : 0, piece.term.alpha, some.count,
        part.lowerBound - k.lowerBound,
        part.upperBound - k.lowerBound, k.count, width, memory.block(member) + offset)
    }
    guard case .stored(let tensor) = piece.ownOperand.storage else {
      let (x, distance) = natural(piece, rows, memory.decoded(member))
      return pack(x, distance, rows, k)
    }
    // Encoded weights: as many at a time as stay in the first cache, in whole blocks.
    let unit = (width + piece.ownOperand.granularity - 1) / piece.ownOperand.granularity * piece.ownOperand.granularity
    let step = isTransposed ? 8192 / unit : 256
    let decoded = memory.decoded(member)
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: unit) {
      let some = first..<min(first + unit, rows.upperBound)
      for start in stride(from: k.lowerBound, to: k.upperBound, by: step) {
        let part = start..<min(start + step, k.upperBound)
        let (storedRows, columns) = isTransposed ? (part, some) : (some, part)
        tensor.dequantize(rows: storedRows, columns: columns, into: decoded)
        pack(UnsafePointer(decoded), columns.count, some, part)
      }
    }
  }

  /// Some rows of the operand that is not shared, as f32.
  private func natural(
    _ piece: Piece, _ rows: Range<Int>, _ decoded: UnsafeMutablePointer<Float>
  ) -> (UnsafePointer<Float>, distance: Int) {
    let isTransposed = piece.ownOperand.isTransposed
    switch piece.ownOperand.storage {
    case .floats(let x, let distance):
      let (row, k) = (rows.lowerBound, piece.k.lowerBound)
      return (x + (isTransposed ? k * distance + row : row * distance + k), distance)
    case .stored(let tensor):
      let (storedRows, columns) = isTransposed ? (piece.k, rows) : (rows, piece.k)
      tensor.dequantize(rows: storedRows, columns: columns, into: decoded)
      return (UnsafePointer(decoded), columns.count)
    case .prepared:
      return (UnsafePointer(decoded), 0)  // a prepared operand is always the shared one
    }
  }
}
