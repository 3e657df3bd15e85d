using VllmNative.Diagnostics;
using VllmNative.Tokenization.Jinja;

namespace VllmNative.Tokenization;

/// <summary>
/// A chat template: a sandboxed subset of Jinja that turns a conversation into a prompt. A template reaches nothing but
/// its variables, and steps, nesting and size of the result are limited. Immutable and thread-safe.
/// </summary>
public sealed class ChatTemplate
{
    private readonly IReadOnlyList<Statement> _statements;
    private readonly TemplateLimits _limits;

    private ChatTemplate(IReadOnlyList<Statement> statements, TemplateLimits limits)
    {
        _statements = statements;
        _limits = limits;
    }

    /// <summary>Parses a template.</summary>
    /// <exception cref="ChatTemplateException">The source is not a template, or uses what is not supported; the error names the line.</exception>
    public static ChatTemplate Parse(string source) => Parse(source, TemplateLimits.Default);

    /// <summary>Renders a conversation.</summary>
    /// <param name="input">The conversation; at least one message.</param>
    /// <param name="cancellationToken">Stops a template that runs long.</param>
    /// <exception cref="ChatTemplateException">The template fails on the conversation, rejects it, or exceeds a limit.</exception>
    public string Render(ChatTemplateInput input, CancellationToken cancellationToken = default) =>
        RenderChat(input, cancellationToken).Text;

    /// <summary>Renders a conversation, keeping which parts came from messages and tools.</summary>
    /// <param name="input">The conversation; at least one message.</param>
    /// <param name="cancellationToken">Stops a template that runs long.</param>
    /// <exception cref="ChatTemplateException">The template fails on the conversation, rejects it, or exceeds a limit.</exception>
    public RenderedChat RenderChat(ChatTemplateInput input, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.Messages.Count == 0)
        {
            throw new InvalidRequestException("messages", "messages: a conversation needs at least one message");
        }

        RenderContext context = new(_limits, input.Now ?? DateTimeOffset.Now, cancellationToken);
        JinjaString result = new Interpreter(context, ConversationValues.ToScope(input)).Render(_statements);
        return new RenderedChat(result.Text, result.Marks);
    }

    internal static ChatTemplate Parse(string source, TemplateLimits limits)
    {
        ArgumentNullException.ThrowIfNull(source);
        return new ChatTemplate(TemplateParser.Parse(source, limits), limits);
    }
}
