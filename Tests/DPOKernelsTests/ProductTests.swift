import CKernels
import DPOKernels
import DPOPlatform
import Testing

@Suite(.timeLimit(.minutes(10))) struct ProductTests {
  private static let shapes = [(1, 1, 1), (3, 5, 7), (157, 185, 33), (29, 800, 70)]

  /// C = A Bᵀ + ½ U Vᵀ in every layout, against plain loops in double precision: f32 to round-off, bf16 to the rounding of
  /// its operands (2⁻⁸ each, of numbers up to 1).
  @Test(arguments: Engine.available, shapes)
  func productsEqualPlainLoops(engine: Engine, shape: (Int, Int, Int)) throws {
    for shared in [Panels.Side.a, .b] { try productsEqualPlainLoops(engine, shape, sharing: shared) }
  }

  private func productsEqualPlainLoops(_ engine: Engine, _ shape: (Int, Int, Int), sharing shared: Panels.Side) throws {
    let (m, n, k) = shape
    var numbers = Numbers(1)
    let (a, b, c) = (numbers.next(m * k), numbers.next(n * k), numbers.next(m * n))
    let (u, v) = (numbers.next(m * 2), numbers.next(n * 2))
    var expected = c
    for i in 0..<m {
      for j in 0..<n {
        for l in 0..<k { expected[i * n + j] += a[i * k + l] * b[j * k + l] }
        for l in 0..<2 { expected[i * n + j] += 0.5 * u[i * 2 + l] * v[j * 2 + l] }
      }
    }
    let (team, single) = (try ThreadTeam(threads: 3, engine: engine), try ThreadTeam(threads: 1, engine: engine))
    for precision in Precision.allCases {
      for accumulates in [false, true] {
        var results: [[Float]] = []
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
          let matrices = [
            floats(ta ? transposed(a, m, k) : a), floats(tb ? transposed(b, n, k) : b), floats(u), floats(v),
          ]
          results.append(
            try product(matrices, shape, (ta, tb), shared, floats(c), precision, team: team, accumulates: accumulates))
          let alone = try product(
            matrices, shape, (ta, tb), shared, floats(c), precision, team: single, accumulates: accumulates)
          let (isSame, isFirst) = (alone == results[results.count - 1], results[0] == results[results.count - 1])
          #expect(isSame, "the number of threads changes no bit")
          #expect(isFirst, "nor does the layout of what is packed")
        }
        let wanted = accumulates ? expected : zip(expected, c).map { $0 - $1 }
        #expect(relativeError(results[0], wanted) < (precision == .bf16 ? 1e-2 : 1e-5), "\(precision)")
      }
    }
  }

  private func transposed(_ x: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    (0..<columns).flatMap { column in (0..<rows).map { x[$0 * columns + column] } }
  }

  private func product(
    _ matrices: [[Float]], _ shape: (m: Int, n: Int, k: Int), _ transposes: (Bool, Bool), _ shared: Panels.Side,
    _ c: [Float], _ precision: Precision, team: ThreadTeam, accumulates: Bool
  ) throws -> [Float] {
    let (m, n, k) = shape
    let buffers = try matrices.map { matrix in
      let buffer = try FloatBuffer(count: matrix.count)
      buffer.pointer.update(from: matrix, count: matrix.count)
      return buffer
    }
    let p = buffers.map { UnsafePointer($0.pointer) }
    var out = c
    out.withUnsafeMutableBufferPointer { out in
      guard let out = out.baseAddress else { return }
      team.multiply(
        "test", precision,
        [
          Product(
            m, n, into: out, n, accumulates: accumulates, sharing: shared,
            [
              Product.Term(
                transposes.0 ? .columns(p[0], m) : .rows(p[0], k), transposes.1 ? .columns(p[1], n) : .rows(p[1], k),
                k: k),
              Product.Term(.rows(p[2], 2), .rows(p[3], 2), k: 2, alpha: 0.5),
            ])
        ])
    }
    withExtendedLifetime(buffers) {}
    return out
  }

  /// Encoded weights from either side, and an operand that is packed as it is made, give the bits of plain ones.
  @Test(arguments: Engine.available, [DType.q8_0, .f16, .bf16]) func storedAndPreparedOperandsAreTheSame(
    engine: Engine, dtype: DType
  ) throws {
    let (t, inputs, outputs) = (61, 96, 64)
    var numbers = Numbers(4)
    let (x, w) = (floats(numbers.next(t * inputs)), floats(numbers.next(outputs * inputs)))
    let bytes = try OwnedBytes(count: w.count / dtype.blockElements * dtype.blockBytes)
    try w.withUnsafeBufferPointer { try quantize($0, as: dtype, into: bytes.bytes) }
    let stored = try StoredTensor(
      name: "w", dtype: dtype, shape: [outputs, inputs], bytes: UnsafeRawBufferPointer(bytes.bytes), owner: bytes,
      file: "test")
    let plain = try stored.floats()
    let team = try ThreadTeam(threads: 2, engine: engine)
    let input = try FloatBuffer(count: x.count)
    input.pointer.update(from: x, count: x.count)
    for precision in Precision.allCases {
      func run(_ a: Operand, _ b: Operand, _ m: Int, _ n: Int, _ k: Int) throws -> [Float] {
        let out = try FloatBuffer(count: m * n)
        team.multiply("test", precision, [Product(m, n, into: out.pointer, n, [Product.Term(a, b, k: k)])])
        return Array(out.buffer)
      }
      let forward = try run(.rows(input.pointer, inputs), .rows(plain.pointer, inputs), t, outputs, inputs)
      let storedForward = try run(.rows(input.pointer, inputs), .rows(stored), t, outputs, inputs) == forward
      #expect(storedForward, "\(precision)")
      let backward = try run(.rows(input.pointer, inputs), .columns(plain.pointer, inputs), t, inputs, outputs)
      let storedBackward = try run(.rows(input.pointer, inputs), .columns(stored), t, inputs, outputs) == backward
      #expect(storedBackward, "\(precision)")
      guard let prepared = team.prepare(precision, rows: t, k: inputs, as: .a, with: [.rows(stored)]) else {
        Issue.record("a small operand fits")
        continue
      }
      team.rows("prepare", t) { rows, _ in prepared.packRows(input.pointer + rows.lowerBound * inputs, inputs, rows) }
      let preparedForward = try run(.prepared(prepared), .rows(stored), t, outputs, inputs) == forward
      #expect(preparedForward, "\(precision)")
    }
    withExtendedLifetime((plain, input)) {}
  }

  /// bf16 products, in whatever instructions: the exact products of numbers rounded to bf16, with sums in f32.
  @Test(arguments: Engine.available, [false, true])
  func bf16ProductsAreThoseOfRoundedNumbers(engine: Engine, transposed: Bool) {
    let kernels = engine.kernels
    var numbers = Numbers(6)
    let (m, n, k) = (17, 35, 41)
    let (a, b) = (floats(numbers.next(m * k)), floats(numbers.next(n * k)))
    func rounded(_ x: Float) -> Double {
      var copy = x
      kernels.pointee.round_to_bf16(&copy, nil, 1)
      return Double(copy)
    }
    func element(_ x: [Float], _ rows: Int, _ i: Int, _ p: Int) -> Double {
      rounded(x[transposed ? p * rows + i : i * k + p])
    }
    let wanted = (0..<m * n).map { at in
      (0..<k).reduce(0) { $0 + element(a, m, at / n, $1) * element(b, n, at % n, $1) }
    }
    for precision in Set([kernels.pointee.bf16, CK_GEMM_ROUNDED]) {
      func packed(_ x: [Float], _ rows: Int, isA: Int32) -> [Float] {
        var out = [Float](repeating: .nan, count: ck_gemm_packed(kernels, precision, isA, rows, k))
        kernels.pointee.pack(
          precision, isA, x, transposed ? rows : k, transposed ? 1 : 0, 1, rows, 0, k, k, &out)
        return out
      }
      var c = [Float](repeating: .nan, count: m * n)
      let slots = ck_gemm_slots(precision, k)
      kernels.pointee.multiply(
        precision, packed(a, m, isA: 1), slots, packed(b, n, isA: 0), slots, m, n, k, &c, n, 0)
      #expect(relativeError(c, wanted) < 1e-6, "\(precision)")
    }
  }

  @Test(arguments: Engine.available, [1, 2, 3, 4, 5, 9]) func productsOfFewRowsEqualNaiveOnesWhateverTheRows(
    engine: Engine, rows: Int
  ) {
    let kernels = engine.kernels
    var numbers = Numbers(2)
    let (outputs, k) = (11, 37)
    let (x, w) = (numbers.next(rows * k), numbers.next(outputs * k))
    var y = [Float](repeating: 1, count: rows * outputs)
    kernels.pointee.few_rows_product(floats(x), k, rows, floats(w), k, outputs, k, &y, outputs, 0)
    let expected = Reference.linear(x, w, inputSize: k)
    #expect(relativeError(y, expected) < 1e-6)
    var last = [Float](repeating: 0, count: outputs)
    kernels.pointee.few_rows_product(
      Array(floats(x)[((rows - 1) * k)...]), k, 1, floats(w), k, outputs, k, &last, outputs, 0)
    #expect(last == Array(y[((rows - 1) * outputs)...]))
    kernels.pointee.few_rows_product(floats(x), k, rows, floats(w), k, outputs, k, &y, outputs, 1)
    #expect(relativeError(y, expected.map { 2 * $0 }) < 1e-6)
  }
}

@Suite(.timeLimit(.minutes(10))) struct ThreadTeamTests {
  @Test(arguments: [1, 2, 5]) func everyTaskRunsOnceOnAMemberOfTheTeam(threads: Int) throws {
    let team = try ThreadTeam(threads: threads)
    for count in [0, 1, 2, 1000] {
      let done = UnsafeMutablePointer<Int>.allocate(capacity: max(count, 1))
      defer { done.deallocate() }
      done.initialize(repeating: 0, count: max(count, 1))
      team.run(count) { index, member in
        if (0..<threads).contains(member) { done[index] += 1 }
      }
      #expect((0..<count).allSatisfy { done[$0] == 1 })
    }
  }

  @Test func callsFromSeveralHostThreadsAreServed() async throws {
    let team = try ThreadTeam(threads: 2)
    let total = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let sums = UnsafeMutablePointer<Int>.allocate(capacity: 64)
          defer { sums.deallocate() }
          for _ in 0..<50 { team.run(64) { index, _ in sums[index] = index } }
          return (0..<64).reduce(0) { $0 + sums[$1] }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(total == 8 * 2016)
  }
}
