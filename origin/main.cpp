#include <iostream>

#include "origin/program.hpp"

int main(int argc, char** argv) {
  return lamina::origin::run_origin(argc, argv, std::cout, std::cerr);
}
