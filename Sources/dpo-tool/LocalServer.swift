import DPO
import DPOPlatform

/// A request to the page on this machine.
struct WebRequest {
  let method: String
  let path: String
  /// Names in lower case.
  let headers: [String: String]
  let body: [UInt8]
}

struct WebResponse {
  var status = 200
  var type = "text/plain; charset=utf-8"
  var body = ""

  static func failure(_ status: Int, _ text: String) -> WebResponse { WebResponse(status: status, body: text + "\n") }
}

/// HTTP/1.1 for one person's browser: listens on 127.0.0.1 alone, one request a connection, in the calling thread.
///
/// A web page that the person visits could send requests here, too. It does not know the secret of the address; a name that it
/// makes point here (DNS rebinding) is not in our Host; and what it posts has a foreign Origin or is not JSON.
final class LocalServer {
  let port: UInt16
  private let listener: Int32
  private var connections: [Connection] = []

  private static let mostConnections = 32
  private static let patience = Duration.seconds(10)

  private struct Connection {
    let socket: Int32
    let end: ContinuousClock.Instant
    var bytes: [UInt8] = []
  }

  /// - Parameter port: 0: any that is free.
  /// - Throws: `.io` if the port is taken.
  init(port wanted: UInt16) throws {
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
    guard listener >= 0 else { throw DPOError(.io, "no socket: \(systemMessage())") }
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = wanted.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let bound = withUnsafeMutablePointer(to: &address) { address in
      address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(listener, address, size) == 0 && listen(listener, 16) == 0 && getsockname(listener, address, &size) == 0
      }
    }
    guard bound else {
      let reason = systemMessage()
      close(listener)
      throw DPOError(.io, "port \(wanted) on 127.0.0.1: \(reason); give another --port, or none")
    }
    port = UInt16(bigEndian: address.sin_port)
  }

  deinit {
    for connection in connections { close(connection.socket) }
    close(listener)
  }

  /// Serves until `goesOn` is false, which is asked a few times a second.
  func run(while goesOn: () throws -> Bool, handle: (WebRequest) throws -> WebResponse) throws {
    while try goesOn() {
      var events = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
      events += connections.map { pollfd(fd: $0.socket, events: Int16(POLLIN), revents: 0) }
      guard poll(&events, nfds_t(events.count), 200) >= 0 else { continue }  // a signal
      let now = ContinuousClock.now
      for index in connections.indices.reversed() {
        if events[index + 1].revents != 0 {
          guard try serve(&connections[index], handle) else { continue }
        } else if connections[index].end > now {
          continue
        }
        close(connections.remove(at: index).socket)
      }
      if events[0].revents != 0 { accept() }
    }
  }

  private func accept() {
    let socket = DPOPlatform.accept(listener, nil, nil)
    guard socket >= 0 else { return }
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    // The one that has waited longest makes room: browsers open connections that they do not use.
    if connections.count == LocalServer.mostConnections { close(connections.removeFirst().socket) }
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    connections.append(Connection(socket: socket, end: .now + LocalServer.patience))
  }

  /// Reads what has come, and answers if that is a whole request. True when the connection is at its end.
  private func serve(_ connection: inout Connection, _ handle: (WebRequest) throws -> WebResponse) throws -> Bool {
    var block = [UInt8](repeating: 0, count: 4096)
    let count = recv(connection.socket, &block, block.count, Int32(MSG_DONTWAIT))
    if count < 0 { return errno != EAGAIN && errno != EINTR }
    if count == 0 { return true }
    connection.bytes += block[..<count]
    do {
      guard let request = try WebRequest(connection.bytes) else { return false }
      send(try checked(request) ?? handle(request), isHead: request.method == "HEAD", connection.socket)
    } catch let refusal as Refusal {
      send(.failure(refusal.status, refusal.reason), isHead: false, connection.socket)
    }
    return true
  }

  struct Refusal: Error {
    let status: Int
    let reason: String
  }

  /// Why a request is not from our own page, if so.
  private func checked(_ request: WebRequest) -> WebResponse? {
    let hosts = ["127.0.0.1:\(port)", "localhost:\(port)"]
    guard let host = request.headers["host"], hosts.contains(host) else {
      return .failure(421, "This server is for \(hosts[0]) only.")
    }
    if let origin = request.headers["origin"], origin != "http://\(host)" {
      return .failure(403, "Requests of other pages are refused.")
    }
    if request.method == "POST", request.headers["content-type"] != "application/json" {
      return .failure(415, "Only JSON is taken.")
    }
    return nil
  }

  private func send(_ response: WebResponse, isHead: Bool, _ socket: Int32) {
    let names = [
      200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
      411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type", 421: "Misdirected Request",
      431: "Request Header Fields Too Large", 500: "Internal Server Error",
    ]
    let body = Array(response.body.utf8)
    let head = """
      HTTP/1.1 \(response.status) \(names[response.status] ?? "Error")
      Content-Type: \(response.type)
      Content-Length: \(body.count)
      Connection: close
      Cache-Control: no-store
      Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
      base-uri 'none'; form-action 'none'; frame-ancestors 'none'
      Cross-Origin-Opener-Policy: same-origin
      Cross-Origin-Resource-Policy: same-origin
      Referrer-Policy: no-referrer
      X-Content-Type-Options: nosniff


      """.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
    var bytes = Array(head.utf8) + (isHead ? [] : body)
    while !bytes.isEmpty {
      let count = DPOPlatform.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      guard count > 0 else { return }
      bytes.removeFirst(count)
    }
  }
}

extension WebRequest {
  private static let longestHead = 8 << 10
  private static let longestBody = 16 << 10

  /// A request if the bytes hold a whole one, nil if more must come.
  init?(_ bytes: [UInt8]) throws {
    typealias Refusal = LocalServer.Refusal
    let mark = Array("\r\n\r\n".utf8)
    guard let end = (0...max(0, bytes.count - 4)).first(where: { bytes[$0...].starts(with: mark) }) else {
      guard bytes.count <= WebRequest.longestHead else {
        throw Refusal(status: 431, reason: "The head is longer than 8 KiB.")
      }
      return nil
    }
    guard let head = String(validating: bytes[..<end], as: UTF8.self) else {
      throw Refusal(status: 400, reason: "The head is no UTF-8.")
    }
    let lines = head.split(separator: "\r\n" as Character, omittingEmptySubsequences: false)
    let request = lines[0].split(separator: " ", omittingEmptySubsequences: false)
    guard request.count == 3, request[2].hasPrefix("HTTP/1."), request[1].hasPrefix("/") else {
      throw Refusal(status: 400, reason: "This is no HTTP/1 request.")
    }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else {
        throw Refusal(status: 400, reason: "A header has no name.")
      }
      let name = line[..<colon].lowercased()
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      guard headers.updateValue(String(value), forKey: name) == nil else {
        throw Refusal(status: 400, reason: "A header stands twice.")
      }
    }
    guard headers["transfer-encoding"] == nil else { throw Refusal(status: 411, reason: "Content-Length is needed.") }
    guard let size = Int(headers["content-length"] ?? "0"), size >= 0 else {
      throw Refusal(status: 400, reason: "Content-Length is no number.")
    }
    guard size <= WebRequest.longestBody else { throw Refusal(status: 413, reason: "More than 16 KiB are not taken.") }
    guard bytes.count - end - 4 >= size else { return nil }
    self.init(
      method: String(request[0]), path: String(request[1]), headers: headers,
      body: Array(bytes[(end + 4)..<(end + 4 + size)]))
  }
}
