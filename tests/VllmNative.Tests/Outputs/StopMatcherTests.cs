using System.Text;
using VllmNative.Outputs;
using Xunit;

namespace VllmNative.Tests.Outputs;

/// <summary>Stop strings in a text that grows.</summary>
public sealed class StopMatcherTests
{
    [Theory]
    [InlineData("hello world", 6, "world", 6)]
    [InlineData("hello world", 8, "world", 6)]
    [InlineData("hello world", 10, "o w|world", 6)]
    [InlineData("ab", 1, "ab|b", 0)]
    public void A_match_that_ends_in_the_new_text_is_found(string text, int from, string stops, int start)
    {
        string[] list = stops.Split('|');
        Assert.NotNull(new StopMatcher(list).Find(new StringBuilder(text), from, out int found));
        Assert.Equal(start, found);
    }

    [Fact]
    public void A_match_that_lies_before_the_new_text_is_past()
    {
        Assert.Null(new StopMatcher(["el", "0123456789"]).Find(new StringBuilder("hello"), 4, out int start));
        Assert.Equal(-1, start);
    }

    [Fact]
    public void Of_several_the_one_that_ends_first_counts()
    {
        Assert.Equal("cd", new StopMatcher(["bcde", "cd", "de"]).Find(new StringBuilder("abcdef"), 0, out int start));
        Assert.Equal(2, start);
    }

    [Fact]
    public void Nothing_is_held_back_without_stop_strings()
    {
        Assert.Equal((0, 0, 3), (new StopMatcher([]).HeldBack, new StopMatcher(["x"]).HeldBack, new StopMatcher(["x", "four"]).HeldBack));
    }
}
