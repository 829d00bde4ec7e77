#include <iostream>

#include "node/program.hpp"

int main(int argc, char** argv) { return lamina::node::run_node(argc, argv, std::cout, std::cerr); }
