using VllmNative.Cli.Rendering;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>Long answers in the few lines of a table.</summary>
public sealed class TextFitTests
{
    [Theory]
    [InlineData("one two three", 7, 1, "three")]
    [InlineData("one two three", 7, 2, "one two\nthree")]
    [InlineData("one two three", 7, 9, "one two\nthree")]
    [InlineData("abcdefgh", 3, 2, "def\ngh")]
    [InlineData("a\n\nb", 5, 2, "\nb")]
    [InlineData("", 5, 2, "")]
    public void Tail_IsTheNewestLines(string text, int width, int lines, string expected) => Assert.Equal(expected, TextFit.Tail(text, width, lines));

    [Theory]
    [InlineData("one two three", 7, 2, "one two\nthree")]
    [InlineData("one two three", 7, 1, "one tw…")]
    [InlineData("one two three", 8, 1, "one two…")]
    public void Head_SaysThatItGoesOn(string text, int width, int lines, string expected) => Assert.Equal(expected, TextFit.Head(text, width, lines));

    [Fact]
    public void Printable_HasNoControlCharactersButLineBreaksAndTabs() => Assert.Equal("a\uFFFD[31mb\n\tc", TextFit.Printable("a\u001b[31mb\n\tc"));
}
