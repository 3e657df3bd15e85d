using VllmNative.Tokenization;

namespace VllmNative.Cli.Commands;

/// <summary>Eight things that the demo model has learnt to answer: stories, one sentence, JSON.</summary>
internal static class DemoPrompts
{
    private const string OneSentence = "Answer with exactly one sentence.";

    /// <summary>The conversations; each has one question, with or without a system message.</summary>
    internal static IReadOnlyList<ChatMessage[]> All { get; } =
    [
        Ask("Tell me a story about a brave rabbit named Lily who finds a golden key in the forest."),
        Ask("Write a short story. The hero is Oscar, a sleepy bear. It happens near the sea and there is a blue ball."),
        Ask("Can you tell a story with a curious cat called Vera and an old map in the garden?"),
        Ask("I want to hear about Hugo, a shy dog, and a red kite on a hill.", OneSentence),
        Ask("Give me JSON for this story. I want to hear about Rosa, a clever goat, and a paper star by the river."),
        Ask("Tell me a story about a happy robot named Felix who finds a toy train at the market."),
        Ask("Describe the hero as JSON. Tell me a story about a tiny dragon named Zoe who finds a honey jar in the snow."),
        Ask("Write a short story. The hero is Ivy, a kind whale. It happens under the old bridge and there is a magic seed.", OneSentence),
    ];

    private static ChatMessage[] Ask(string question, string? system = null) =>
        system is null ? [ChatMessage.User(question)] : [ChatMessage.System(system), ChatMessage.User(question)];
}
