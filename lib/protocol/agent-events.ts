/**
 * The names that agents' events usually have, and their data: what the SDKs tell beside the text, in one form for all of
 * them. A host's own agent may use them too, and any other name.
 */
export interface AgentEvents {
  /** A piece of what the model thinks. Pieces of one `id` belong together. */
  reasoning: { id: string, text: string }
  /** The model begins to write the input of a tool. */
  'tool-input-start': ToolCall
  /** A piece of that input, as text. */
  'tool-input-delta': { toolCallId: string, text: string }
  /** The input of a tool as a whole: the tool is called, or waits to be approved. */
  'tool-input': ToolCall & { input: unknown }
  /** What a tool answered; `preliminary` where more of it follows, in its place. */
  'tool-output': ToolCall & { output: unknown, preliminary?: true }
  /** A tool has failed. What was wrong says the log. */
  'tool-error': ToolCall
  /** A tool waits until somebody says whether it may run. */
  'tool-approval-request': ToolCall & { approvalId: string, input: unknown }
  /** Somebody has said that it may not. */
  'tool-denied': ToolCall
  /** Something that the answer is drawn from. */
  source: { id: string, url?: string, title?: string, mediaType?: string }
  /** A file that the model has made. */
  file: { mediaType: string, base64: string }
}

interface ToolCall {
  toolCallId: string
  toolName: string
}
