#include <iostream>

#include "sim/cli/program.hpp"

int main(int argc, char** argv) { return lamina::sim::run_sim(argc, argv, std::cout, std::cerr); }
