// A day of many sites: what the speed is measured with, and in small what must be the same bits.
#pragma once

#include "sim/scenario/scenario.hpp"

namespace lamina::sim::testing {

// Sites of 100 devices in 17 time zones, lines of 2 to 1000 Mbit/s, around 20, of which others take
// 80 % in office hours and 20 % at night; a third of the devices always up, the rest in office
// hours with lunch or without, most restarting once a day; three kinds of versions; three waves (1,
// 10 and 100 % of the sites, after 0, 2 and 4 h, each when 20 % of the one before are done);
// uploads of 50 MB a day; of the sites that fetch ten minutes after the third may begin, 5 % lose a
// reflector.
Scenario big_scenario(int sites);

}  // namespace lamina::sim::testing
