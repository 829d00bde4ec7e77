#include <catch2/catch.hpp>
#include <sstream>

#include "shared/cli/exit_code.hpp"
#include "shared/cli/progress.hpp"
#include "shared/cli/table.hpp"

using namespace lamina;
using namespace std::chrono_literals;

TEST_CASE("exit codes: every kind of error has its number", "[cli]") {
  CHECK(cli::exit_code_of(ErrorKind::invalid) == 2);
  CHECK(cli::exit_code_of(ErrorKind::not_found) == 3);
  CHECK(cli::exit_code_of(ErrorKind::unavailable) == 4);
  CHECK(cli::exit_code_of(ErrorKind::refused) == 5);
  CHECK(cli::exit_code_of(ErrorKind::corrupt) == 6);
  CHECK(cli::exit_code_of(ErrorKind::out_of_space) == 7);
  CHECK(cli::exit_code_help().find("7 out of space") != std::string_view::npos);
}

TEST_CASE("table: columns line up, and no line ends in blanks", "[cli]") {
  std::ostringstream out;
  cli::write_table(out, {{"NAME", "SIZE"}, {"a-long-name", "1"}, {"b", ""}, {"c"}});
  CHECK(out.str() == "NAME         SIZE\na-long-name  1\nb\nc\n");
  out.str("");
  cli::write_table(out, {});
  CHECK(out.str().empty());
}

TEST_CASE("progress: rate and time left once a second is over", "[cli]") {
  CHECK(cli::progress_text(1_MiB, 4_MiB, 500ms) == "1.0 MiB of 4.0 MiB");
  CHECK(cli::progress_text({1'000'000}, {4'000'000}, 1s) ==
        "976.6 KiB of 3.8 MiB, 8.0 Mbit/s, 3.0 s left");
  CHECK(cli::progress_text({1'000'000}, {}, 2s) == "976.6 KiB, 4.0 Mbit/s");
  CHECK(cli::progress_text({0}, 4_MiB, 10s) == "0 B of 4.0 MiB");
  // Past its total, or too slow to foresee: no time left is claimed.
  CHECK(cli::progress_text({2'000'000}, {1'000'000}, 1s).find("left") == std::string::npos);
  CHECK(cli::progress_text({1}, {INT64_MAX}, 1h).find("left") == std::string::npos);
}

TEST_CASE("progress: silent without a terminal, and not drawn too often with one", "[cli]") {
  std::ostringstream out;
  {
    cli::Progress silent(out, false);
    silent.show(1_MiB, 2_MiB, Instant{1s});
  }
  CHECK(out.str().empty());
  cli::Progress progress(out, true);
  progress.show(1_MiB, 4_MiB, Instant{10s});
  CHECK(out.str() == "\r\x1b[K1.0 MiB of 4.0 MiB");
  out.str("");
  progress.show(2_MiB, 4_MiB, Instant{10s + 100ms});
  CHECK(out.str().empty());
  progress.show(3_MiB, 4_MiB, Instant{11s});
  CHECK(out.str().find("3.0 MiB of 4.0 MiB, ") != std::string::npos);
  out.str("");
  progress.clear();
  CHECK(out.str() == "\r\x1b[K");
  out.str("");
  progress.say("half");
  progress.say("half");
  CHECK(out.str() == "\r\x1b[Khalf");
  progress.clear();
  out.str("");
  progress.clear();
  CHECK(out.str().empty());
}
