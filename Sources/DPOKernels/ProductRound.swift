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

  /// What a team takes for its products: what all threads read, and what each has of its own.
  package static let sharedBytes = 4 * sharedCount
  package static let bytesOfThread = 4 * 2 * blockCount

  package var shared: UnsafeMutablePointer<Float> { buffer.pointer }
  package func block(_ member: Int) -> UnsafeMutablePointer<Float> {
    buffer.pointer + PackingMemory.sharedCount + member * 2 * PackingMemory.blockCount
  }
  package func decoded(_ member: Int) -> UnsafeMutablePointer<Float> { block(member) + PackingMemory.blockCount }
}

extension ThreadTeam {
  /// Computes independent products together, each sum in an order that does not depend on the number of threads.
  /// `keeping`: a prepared operand that a later product reads.
  package func multiply(
    _ name: StaticString, _ precision: Precision = .fp32, keeping kept: PreparedOperand? = nil, _ products: [Product]
  ) {
    measured(
      name, operations: products.reduce(0) { $0 + $1.operations }, bytes: products.reduce(0) { $0 + $1.bytes }
    ) {
      let reserved = products.lazy.flatMap(\.terms).map(\.reserved).reduce(kept?.reserved ?? 0, max)
      let panels = Panels(engine, precision)
      var round = ProductRound(panels, threads: threads, reserved: reserved)
      for product in products.lazy.flatMap(\.parts) where product.m > 0 && product.n > 0 {
        var isFirst = true
        for term in product.terms {
          let most = round.mostK(product, term)
          for start in stride(from: 0, to: term.k, by: most) {
            let piece = ProductRound.Piece(
              product, term, start..<min(term.k, start + most), accumulates: product.accumulates || !isFirst)
            if !round.add(piece, continues: !isFirst) {
              run(round)
              round = ProductRound(panels, threads: threads, reserved: reserved)
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
    run(round.packTasks.count) { index, _ in round.pack(round.packTasks[index], packing) }
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
  let panels: Panels
  let side: Panels.Side
  let memory: PackingMemory

  /// Numbers of the shared memory that it takes.
  var reserved: Int { (panels.count(side, rows: rows, k: k) + 15) / 16 * 16 }

  /// Rows `rows` of the left side, which stand at `x` on; their first one begins a panel.
  package func packRows(_ x: UnsafePointer<Float>, _ distance: Int, _ rows: Range<Int>) {
    panels.pack(
      side, x, distance, transposed: false, rows: rows.count, part: 0..<k, of: k,
      into: memory.shared + panels.count(side, rows: rows.lowerBound, k: k))
  }

  /// Numbers `part` of k of every row: rows `part` of a matrix whose columns are the side's rows. The first one is even.
  package func packColumns(_ x: UnsafePointer<Float>, _ distance: Int, _ part: Range<Int>) {
    panels.pack(side, x, distance, transposed: true, rows: rows, part: part, of: k, into: memory.shared)
  }
}

extension ThreadTeam {
  /// Room for the shared side of a product with `others`; nil if it does not fit.
  package func prepare(
    _ precision: Precision, rows: Int, k: Int, as side: Panels.Side, with others: [Operand]
  ) -> PreparedOperand? {
    guard rows > 0, side == .b || rows <= Product.mostSharedRows else { return nil }
    let panels = Panels(engine, precision)
    let operand = PreparedOperand(rows: rows, k: k, panels: panels, side: side, memory: packing)
    let block = others.map { panels.blockRows($0, sharing: side) }.max() ?? 0
    let room = panels.count(side.other, rows: block, k: k)
    return room <= PackingMemory.blockCount && operand.reserved <= PackingMemory.sharedCount / 2 ? operand : nil
  }
}

extension Panels.Side {
  var other: Panels.Side { self == .a ? .b : .a }
}

/// How a product is cut: rows of the operand that is not shared.
extension Panels {
  /// The least number of whole panels with at least `rows` rows.
  package func rows(_ side: Side, atLeast rows: Int) -> Int { (rows + width(side) - 1) / width(side) * width(side) }

  /// Rows that are not cut any further: whole panels, and whole blocks of encoded weights.
  func unitRows(_ own: Operand, sharing side: Side) -> Int {
    (rows(side.other, atLeast: 24) + own.granularity - 1) / own.granularity * own.granularity
  }

  /// Units of a task at most: for each block of them the shared operand is read once.
  func mostUnits(_ own: Operand, sharing side: Side) -> Int { max(1, 96 / unitRows(own, sharing: side)) }

  /// Rows of a task at most.
  func blockRows(_ own: Operand, sharing side: Side) -> Int {
    mostUnits(own, sharing: side) * unitRows(own, sharing: side)
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

    var side: Panels.Side { product.shared }
    var sharedRows: Int { side == .a ? product.m : product.n }
    var sharedOperand: Operand { side == .a ? term.a : term.b }
    var ownRows: Int { side == .a ? product.n : product.m }
    var ownOperand: Operand { side == .a ? term.b : term.a }
    /// B takes the factor, whichever side is shared: so that the rounding does not depend on it.
    func alpha(of side: Panels.Side) -> Float { side == .b ? term.alpha : 1 }
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
    let rows: Int
    let side: Panels.Side
    let alpha: Float
    let offset: Int
  }

  let panels: Panels
  let threads: Int
  private(set) var pieces: [Piece] = []
  private(set) var packTasks: [PackTask] = []
  private(set) var tasks: [Task] = []
  private var packed: [Packed] = []
  private var used: Int
  private var firstTask = 0

  /// `reserved`: numbers of the shared memory that hold a prepared operand.
  init(_ panels: Panels, threads: Int, reserved: Int) {
    self.panels = panels
    // Where sums depend on the cut, it is the same for any number of threads.
    self.threads = panels.kernels.pointee.cuts_freely != 0 ? threads : 4
    used = reserved
  }

  /// Numbers of k that fit a round.
  func mostK(_ product: Product, _ term: Product.Term) -> Int {
    let side = product.shared
    if case .prepared = (side == .a ? term.a : term.b).storage { return max(1, term.k) }
    let rows = (side == .a ? product.m : product.n) + 32
    let own = panels.blockRows(side == .a ? term.b : term.a, sharing: side)
    // Whole blocks of every encoding; at least 2, which a slot of bf16 holds.
    let most = min(
      PackingMemory.sharedCount / (rows * panels.kernels.pointee.a_slot / panels.width(.a)),
      PackingMemory.blockCount / own)
    return most >= 256 ? most / 256 * 256 : max(2, most / 2 * 2)
  }

  /// false: the round is full.
  mutating func add(_ piece: Piece, continues: Bool) -> Bool {
    var piece = piece
    guard let offset = place(piece) else { return false }
    piece.offset = offset
    pieces.append(piece)
    if continues && firstTask < tasks.count {
      for index in firstTask..<tasks.count { tasks[index].pieces = tasks[index].pieces.lowerBound..<pieces.count }
    } else {
      firstTask = tasks.count
      let unit = panels.unitRows(piece.ownOperand, sharing: piece.side)
      let units = (piece.ownRows + unit - 1) / unit
      let parts = max(1, (ProductRound.leastTasks * threads + units - 1) / units)
      let part = panels.rows(piece.side, atLeast: (piece.sharedRows + parts - 1) / parts)
      let most = panels.mostUnits(piece.ownOperand, sharing: piece.side)
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
        rows: piece.sharedRows, side: piece.side, alpha: piece.alpha(of: piece.side), offset: offset)
    }
    for known in packed where known == entry(known.offset) { return known.offset }
    let size = panels.count(piece.side, rows: piece.sharedRows, k: piece.k.count)
    guard used + size <= PackingMemory.sharedCount else { return nil }
    packed.append(entry(used))
    // Rows are packed a few panels at a time; columns in blocks of k, so that the matrix is read row by row.
    let step = panels.rows(piece.side, atLeast: 56)
    for start in stride(from: 0, to: piece.sharedOperand.isTransposed ? piece.k.count : piece.sharedRows, by: step) {
      let part = start..<start + step
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
    panels.pack(
      piece.side, x + (isTransposed ? k * distance + row : row * distance + k), distance, transposed: isTransposed,
      alpha: piece.alpha(of: piece.side), rows: task.rows.count, part: task.k, of: piece.k.count,
      into: memory.shared + piece.offset + panels.count(piece.side, rows: row, k: piece.k.count))
  }

  func compute(_ task: Task, _ memory: PackingMemory, _ member: Int) {
    for index in task.pieces {
      let piece = pieces[index]
      let product = piece.product
      let (rows, columns) = piece.side == .a ? (task.sharedRows, task.rows) : (task.rows, task.sharedRows)
      packOwn(piece, task.rows, memory, member)
      let own: Panels.Packed = (UnsafePointer(memory.block(member)), piece.k.count)
      let shared = shared(piece, task.sharedRows.lowerBound, memory)
      let (a, b) = piece.side == .a ? (shared, own) : (own, shared)
      panels.multiply(
        a, b, rows.count, columns.count, piece.k.count,
        into: product.c + rows.lowerBound * product.ldc + columns.lowerBound, product.ldc,
        accumulates: piece.accumulates)
    }
  }

  /// The panels of the shared operand from a row on that begins one.
  private func shared(_ piece: Piece, _ row: Int, _ memory: PackingMemory) -> Panels.Packed {
    if case .prepared(let operand, let k) = piece.sharedOperand.storage {
      let offset = panels.count(piece.side, rows: row, k: operand.k) + panels.offset(piece.side, k: k)
      return (UnsafePointer(memory.shared + offset), operand.k)
    }
    let offset = piece.offset + panels.count(piece.side, rows: row, k: piece.k.count)
    return (UnsafePointer(memory.shared + offset), piece.k.count)
  }

  /// Packs some rows of the operand that is not shared.
  private func packOwn(_ piece: Piece, _ rows: Range<Int>, _ memory: PackingMemory, _ member: Int) {
    let (k, side, isTransposed) = (piece.k, piece.side.other, piece.ownOperand.isTransposed)
    func pack(_ x: UnsafePointer<Float>, _ distance: Int, _ some: Range<Int>, _ part: Range<Int>) {
      panels.pack(
        side, x, distance, transposed: isTransposed, alpha: piece.alpha(of: side), rows: some.count,
        part: part.lowerBound - k.lowerBound..<part.upperBound - k.lowerBound, of: k.count,
        into: memory.block(member) + panels.count(side, rows: some.lowerBound - rows.lowerBound, k: k.count))
    }
    switch piece.ownOperand.storage {
    case .floats(let x, let distance):
      let (row, k0) = (rows.lowerBound, k.lowerBound)
      pack(x + (isTransposed ? k0 * distance + row : row * distance + k0), distance, rows, k)
    case .stored(let tensor):
      // As many at a time as stay in the first cache, in whole blocks.
      let granularity = piece.ownOperand.granularity
      let unit = (panels.rows(side, atLeast: 14) + granularity - 1) / granularity * granularity
      let step = isTransposed ? 8192 / unit : 256
      let decoded = memory.decoded(member)
      for first in stride(from: rows.lowerBound, to: rows.upperBound, by: unit) {
        let some = first..<min(first + unit, rows.upperBound)
        for start in stride(from: k.lowerBound, to: k.upperBound, by: step) {
          let part = start..<min(start + step, k.upperBound)
          let (storedRows, columns) = isTransposed ? (part, some) : (some, part)
          tensor.dequantize(rows: storedRows, columns: columns, into: decoded, with: panels.kernels)
          pack(UnsafePointer(decoded), columns.count, some, part)
        }
      }
    case .prepared: break  // a prepared operand is always the shared one
    }
  }
}
