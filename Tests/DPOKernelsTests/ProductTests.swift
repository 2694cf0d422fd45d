import CKernels
import DPOKernels
import Glibc
import Testing

@Suite struct ProductTests {
  @Test(arguments: [(1, 1, 1), (3, 5, 7), (257, 385, 33), (300, 16, 400)], [false, true])
  func tiledProductsEqualNaiveOnes(shape: (Int, Int, Int), accumulates: Bool) throws {
    let (m, n, k) = shape
    let team = try ThreadTeam(threads: 2)
    var numbers = Numbers(1)
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
      let (a, b, c) = (numbers.next(m * k), numbers.next(k * n), numbers.next(m * n))
      let (u, v) = (numbers.next(m * 2), numbers.next(2 * n))
      var expected = accumulates ? c : [Double](repeating: 0, count: m * n)
      for i in 0..<m {
        for j in 0..<n {
          for l in 0..<k { expected[i * n + j] += a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j] }
          for l in 0..<2 { expected[i * n + j] += 0.5 * u[i * 2 + l] * v[l * n + j] }
        }
      }
      let (fa, fb, fu, fv) = (floats(a), floats(b), floats(u), floats(v))
      var fc = floats(c)
      fa.withUnsafeBufferPointer { fa in
        fb.withUnsafeBufferPointer { fb in
          fu.withUnsafeBufferPointer { fu in
            fv.withUnsafeBufferPointer { fv in
              fc.withUnsafeMutableBufferPointer { fc in
                guard let pa = fa.baseAddress, let pb = fb.baseAddress, let pu = fu.baseAddress,
                  let pv = fv.baseAddress,
                  let pc = fc.baseAddress
                else { return }
                team.multiply(
                  "test",
                  [
                    Product(
                      m, n, into: pc, n, accumulates: accumulates,
                      [
                        Product.Term(pa, ta ? m : k, transposedA: ta, pb, tb ? k : n, transposedB: tb, k: k),
                        Product.Term(pu, 2, pv, n, k: 2, alpha: 0.5),
                      ])
                  ])
              }
            }
          }
        }
      }
      #expect(relativeError(fc, expected) < 1e-5)
    }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 9]) func productsOfFewRowsEqualNaiveOnesWhateverTheRows(rows: Int) {
    var numbers = Numbers(2)
    let (outputs, k) = (11, 37)
    let (x, w) = (numbers.next(rows * k), numbers.next(outputs * k))
    var y = [Float](repeating: 1, count: rows * outputs)
    ck_few_rows_product(floats(x), k, rows, floats(w), k, outputs, k, &y, outputs, 0)
    let expected = Reference.linear(x, w, inputSize: k)
    #expect(relativeError(y, expected) < 1e-6)
    var last = [Float](repeating: 0, count: outputs)
    ck_few_rows_product(Array(floats(x)[((rows - 1) * k)...]), k, 1, floats(w), k, outputs, k, &last, outputs, 0)
    #expect(last == Array(y[((rows - 1) * outputs)...]))
    ck_few_rows_product(floats(x), k, rows, floats(w), k, outputs, k, &y, outputs, 1)
    #expect(relativeError(y, expected.map { 2 * $0 }) < 1e-6)
  }

  @Test func attentionOverCachedPartsEqualsTheNaiveOne() {
    var numbers = Numbers(3)
    let (heads, size, total, ld) = (3, 8, 9, 20)
    let (q, k, v) = (numbers.next(heads * size), numbers.next(total * ld), numbers.next(total * ld))
    for skip in [0, 2, 6] {
      let shape = Reference.AttentionShape(heads: heads, keyValueHeads: 1, size: size)
      func compact(_ x: [Double]) -> [Double] { (0..<total).flatMap { x[$0 * ld..<$0 * ld + size] } }
      let expected = Reference.attention(q, compact(k), compact(v), shape, sees: [Array(skip..<total)])
      var out = [Float](repeating: 0, count: heads * size)
      var scores = [Float](repeating: 0, count: total)
      floats(k).withUnsafeBufferPointer { k in
        floats(v).withUnsafeBufferPointer { v in
          guard let k = k.baseAddress, let v = v.baseAddress else { return }
          let parts = [
            ck_cache_part(keys: k, values: v, count: 4),
            ck_cache_part(keys: k + 4 * ld, values: v + 4 * ld, count: total - 4),
          ]
          ck_decode_attention(
            floats(q), heads, size, parts, 2, ld, skip, 1 / Float(size).squareRoot(), &scores, &out)
        }
      }
      #expect(relativeError(out, expected) < 1e-6)
    }
  }
}

@Suite struct ThreadTeamTests {
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
