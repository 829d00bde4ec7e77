#include <iostream>

#include "origin/cli/session.hpp"

int main(int argc, char** argv) {
  return lamina::origin::cli::run_lamina(argc, argv, std::cout, std::cerr);
}
