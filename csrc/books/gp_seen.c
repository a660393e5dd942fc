#include "books/gp_seen.h"

#include <string.h>

#include "recording/gp_format.h"

void gp_seen_add(gp_seen_stack *stack, const char *function, const char *file, int32_t line)
{
    gp_buffer *text = &stack->text;
    if (stack->depth == GP_SEEN_LEVELS || text->failed)
        return;
    gp_buffer_number(text, GP_PLACE_PYTHON);
    gp_buffer_number(text, line > 0 ? (uint64_t)line : 0);
    gp_buffer_string(text, function, strlen(function));
    gp_buffer_string(text, file, strlen(file));
    if (!text->failed)
        stack->ends[stack->depth++] = text->size;
}

void gp_seen_clear(gp_seen_stack *stack)
{
    gp_buffer_clear(&stack->text);
    stack->depth = 0;
}

void gp_seen_free(gp_seen_stack *stack)
{
    gp_buffer_free(&stack->text);
    stack->depth = 0;
}
