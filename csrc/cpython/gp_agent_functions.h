#ifndef GP_AGENT_FUNCTIONS_H
#define GP_AGENT_FUNCTIONS_H

#include "attach/gp_agent.h"

/* Put the functions of this interpreter into an order for the agent in its own process; no path. */
void gp_agent_functions(gp_agent_order *order);

#endif
