#include <deque>
#include <fstream>
#include <iostream>

#include "origin/catalog/audit_chain.hpp"
#include "origin/cli/audit_commands.hpp"
#include "origin/cli/session.hpp"
#include "shared/base/wildcard.hpp"
#include "shared/net/loop.hpp"
#include "shared/os/file.hpp"
#include "shared/wire/audit.hpp"

namespace lamina::origin::cli {
namespace {

using Visit = std::function<Status(const wire::AuditEntry&)>;

// Page by page: the log may be long, and the origin is not kept waiting.
Status for_each_entry(Session& s, std::uint64_t after, const Visit& visit) {
  for (;;) {
    auto body = s.get("/v1/audit/after/" + std::to_string(after));
    if (!body) return fail(std::move(body.error()));
    auto page = wire::parse_audit_page(*body);
    if (!page) return fail(std::move(page.error()));
    for (const wire::AuditEntry& entry : page->entries)
      if (auto done = visit(entry); !done) return done;
    if (page->looked_to <= after || page->looked_to >= page->newest) return Done{};
    after = page->looked_to;
  }
}

Status for_each_entry_of(const std::string& file, const Visit& visit) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) return fail(ErrorKind::not_found, "there is no file " + printable(file));
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    auto entry = wire::parse_audit_entry(line);
    if (!entry)
      return fail(ErrorKind::corrupt, printable(file) + " line " + std::to_string(number) + ": " +
                                          entry.error().text());
    if (auto done = visit(*entry); !done) return done;
  }
  if (in.bad()) return fail(ErrorKind::unavailable, printable(file) + " cannot be read");
  return Done{};
}

struct VerifyRequest {
  std::string head;
  std::string pin;
  std::string file;
};

Result<std::optional<AuditHead>> pinned(const VerifyRequest& request) {
  std::string text = request.head;
  if (!request.pin.empty() && os::exists(request.pin)) {
    constexpr std::size_t kPinMax = 256;
    auto bytes = os::read_file(request.pin, kPinMax);
    if (!bytes) return fail(std::move(bytes.error()));
    text = as_text(*bytes);
    text.erase(text.find_last_not_of('\n') + 1);
    if (text.empty()) return fail(ErrorKind::corrupt, printable(request.pin) + " is empty");
  }
  if (text.empty()) return std::optional<AuditHead>();
  auto head = parse_audit_head(text);
  if (!head) return fail(std::move(head.error()).in(request.pin.empty() ? "--head" : request.pin));
  return std::optional(*head);
}

Status verify(Session& s, const VerifyRequest& request) {
  auto pin = pinned(request);
  if (!pin) return fail(std::move(pin.error()));
  AuditChain chain(*pin);
  std::vector<std::string> findings;
  const auto take = [&](std::vector<std::string> wrong) {
    for (std::string& text : wrong) {
      if (s.json)
        *s.out << "{\"finding\":\"" << text << "\"}\n";
      else
        *s.out << text << '\n';
      findings.push_back(std::move(text));
    }
  };
  std::uint64_t entries = 0;
  const Visit visit = [&](const wire::AuditEntry& entry) {
    ++entries;
    take(chain.add(entry));
    return Status(Done{});
  };
  auto read =
      request.file.empty() ? for_each_entry(s, 0, visit) : for_each_entry_of(request.file, visit);
  if (!read) return read;
  take(chain.finish());
  const std::string head = to_text(chain.head());
  if (s.json)
    *s.out << "{\"entries\":" << entries << ",\"head\":\"" << head
           << "\",\"intact\":" << (findings.empty() ? "true" : "false") << "}\n";
  if (!findings.empty())
    return fail(
        ErrorKind::corrupt,
        "the audit log was tampered with or damaged: " + findings.front() +
            (findings.size() == 1 ? std::string()
                                  : ", and " + std::to_string(findings.size() - 1) + " more") +
            "; compare it with an earlier export or backup");
  if (!s.json)
    *s.out << entries << " entries, each fits the one before it" << (*pin ? " and the pin" : "")
           << "\nhead " << head << '\n';
  if (!request.pin.empty()) return os::write_file(request.pin, as_view(head + '\n'));
  return Done{};
}

// A value of structured data (RFC 5424, 6.3.3).
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : printable(text, 4096)) {
    if (c == '"' || c == '\\' || c == ']') out += '\\';
    out += c;
  }
  return out + '"';
}

// RFC 5424. Facility 13 is "log audit", severity 6 informational. 32473 is the enterprise number
// for documentation (RFC 5612): there is none of our own.
std::string syslog_line(const wire::AuditEntry& entry, const std::string& host) {
  constexpr int kPriority = 13 * 8 + 6;
  return "<" + std::to_string(kPriority) + ">1 " + to_iso8601(WallTime{entry.time_ms * 1'000'000}) +
         ' ' + host + " lamina - " + entry.action.substr(0, 32) +
         " [lamina@32473 number=" + quoted(std::to_string(entry.number)) +
         " actor=" + quoted(entry.actor) + " object=" + quoted(entry.object) +
         " hash=" + quoted(entry.hash) + "] " + printable(entry.detail, 4096);
}

struct ExportRequest {
  std::string format = "json";
  std::uint64_t after = 0;
};

Status export_log(Session& s, const ExportRequest& request) {
  const std::string host = s.origin.substr(0, s.origin.rfind(':'));
  AuditHead head{request.after, ""};
  auto read = for_each_entry(s, request.after, [&](const wire::AuditEntry& entry) -> Status {
    *s.out << (request.format == "syslog" ? syslog_line(entry, host) : wire::to_json(entry))
           << '\n';
    head = {entry.number, entry.hash};
    if (!*s.out) return fail(ErrorKind::out_of_space, "the export cannot be written");
    return Done{};
  });
  if (!read) return read;
  if (!head.hash.empty()) *s.err << "head " << to_text(head) << '\n';
  return Done{};
}

struct ListRequest {
  std::string actor = "*";
  std::string action = "*";
  std::string object = "*";
  std::string since;
  std::size_t newest = 100;
};

Status list(Session& s, const ListRequest& request) {
  std::int64_t since_ms = 0;
  if (!request.since.empty()) {
    auto ago = parse_duration(request.since);
    if (!ago) return fail(std::move(ago.error()).in("--since"));
    since_ms = (net::Loop::wall_now().ns - ago->count()) / 1'000'000;
  }
  std::deque<wire::AuditEntry> kept;
  auto read = for_each_entry(s, 0, [&](const wire::AuditEntry& entry) -> Status {
    if (entry.time_ms < since_ms || !matches_wildcard(request.actor, entry.actor) ||
        !matches_wildcard(request.action, entry.action) ||
        !matches_wildcard(request.object, entry.object))
      return Done{};
    kept.push_back(entry);
    if (kept.size() > request.newest) kept.pop_front();
    return Done{};
  });
  if (!read) return read;
  Session::Rows rows{{"NUMBER", "TIME", "WHO", "WHAT", "OF", "DETAIL"}};
  for (const wire::AuditEntry& entry : kept) {
    if (s.json) *s.out << wire::to_json(entry) << '\n';
    rows.push_back({std::to_string(entry.number), to_iso8601(WallTime{entry.time_ms * 1'000'000}),
                    printable(entry.actor, 64), printable(entry.action, 64),
                    printable(entry.object, 120), printable(entry.detail, 200)});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

}  // namespace

void add_audit(CLI::App& app, Run& run) {
  auto* audit = app.add_subcommand("audit", "who changed what, and who read which CVD");
  audit->require_subcommand(1);
  audit->footer("Example: lamina audit verify --pin /var/lib/lamina-audit/head");

  auto which = std::make_shared<VerifyRequest>();
  auto* verified = audit->add_subcommand("verify", "recompute the chain of all entries here");
  verified->footer(
      "What was changed or taken out is named, with exit code 6. What is cut off at the end, and "
      "a\n"
      "log that was written anew as a whole, shows only against a head that was kept elsewhere:\n"
      "--pin keeps it from one time to the next.\n"
      "Example: lamina audit verify --pin /var/lib/lamina-audit/head\n"
      "Example: lamina audit verify --file audit.jsonl");
  auto* head = verified->add_option("--head", which->head,
                                    "NUMBER:HASH that the log had once: it must go through it");
  verified
      ->add_option("--pin", which->pin, "a file with that; it gets the new head when all is well")
      ->excludes(head);
  verified->add_option("--file", which->file,
                       "an export from the first entry on; '-': standard input");
  verified->callback([&run, which] { run = [which](Session& s) { return verify(s, *which); }; });

  auto how = std::make_shared<ExportRequest>();
  auto* exported = audit->add_subcommand("export", "all entries, one a line");
  exported->footer(
      "The head, which pins them all, comes on standard error.\n"
      "Example: lamina audit export --format syslog --after 1200\n"
      "Example: lamina audit export");
  exported->add_option("--format", how->format, "json, or syslog: RFC 5424, facility 13")
      ->check(CLI::IsMember({"json", "syslog"}))
      ->capture_default_str();
  exported->add_option("--after", how->after, "only entries above this number");
  exported->callback([&run, how] { run = [how](Session& s) { return export_log(s, *how); }; });

  auto filter = std::make_shared<ListRequest>();
  auto* listed =
      audit->add_subcommand("ls", "the newest entries that all filters take")->alias("list");
  listed->footer(
      "In filters '*' stands for any characters. Reads of CVDs are cvd.read, cvd.snapshots, "
      "cvd.list.\n"
      "Example: lamina audit ls --action 'cvd.*' --object 'device:0011*' --since 7d");
  listed->add_option("--actor", filter->actor, "as in admin:ann or 'device:*'");
  listed->add_option("--action", filter->action, "as in layer.publish or 'cvd.*'");
  listed->add_option("--object", filter->object, "as in device:0011...");
  listed->add_option("--since", filter->since, "not older than this, as in 2d");
  listed->add_option("--newest", filter->newest, "at most so many")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}))
      ->capture_default_str();
  listed->callback([&run, filter] { run = [filter](Session& s) { return list(s, *filter); }; });
}

}  // namespace lamina::origin::cli
