#include "shared/cli/command_line.hpp"

#include <CLI/CLI.hpp>

#include "shared/base/bytes.hpp"

namespace lamina::cli {

std::optional<ExitCode> parse(CLI::App& app, int argc, const char* const* argv, std::ostream& out,
                              std::ostream& err) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, out, err), ok;
    // CLI11 misses a command before it minds the word that stands in its place.
    const auto unknown = app.remaining(true);
    const bool no_command = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    err << app.get_name() << ": "
        << (no_command && !unknown.empty()
                ? "there is no command '" + printable(unknown[0], 80) + "'"
                : printable(error.what()))
        << "; see " << app.get_name() << " --help\n";
    return usage;
  }
}

ExitCode ended(const CLI::App& app, const Status& done, std::ostream& err) {
  if (done) return ok;
  err << app.get_name() << ": " << done.error().text() << '\n';
  return exit_code_of(done.error().kind());
}

}  // namespace lamina::cli
